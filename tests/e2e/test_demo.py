"""The demo: one command, a real language model answers through the whole grid, and nothing is left running."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.stack_commands import Command
from gridloom_local.demo import demo_home
from gridloom_local.home import Home
from gridloom_local.leftovers import end_all, find_ours


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(Home(tmp_path))
    yield command
    end_all(find_ours(demo_home(command.home).folder))


def parts_of(story: str) -> list[str]:
    return [step for step in ("accepted", "assigned", "started", "finished") if step in story]


@pytest.mark.slow
def test_the_demo_answers_with_a_real_model_and_tells_the_jobs_story_even_if_its_port_is_taken(
    command: Command,
) -> None:
    with socket.create_server(("127.0.0.1", command.port)):
        said = command.succeed("demo", "--prompt", "Name three colours.")

    assert f"port {command.port} is taken" in said
    answer, _, rest = said.partition("What happened to the job")
    story, _, rest = rest.partition("What the job is charged")
    price, _, webhook = rest.partition("What the job's webhook brought")
    assert "smollm2:135m" in answer
    assert parts_of(story) == ["accepted", "assigned", "started", "finished"]
    assert "tokens/s" in story
    assert re.search(r"tokens in +tokens out +worker +tag +dialect +counted by +engine time", price)
    assert re.search(r"\d+ +\d+ +w[a-z2-7]{12} +demo +native +engine +\d", price)
    assert "POST http://127.0.0.1:" in webhook
    assert "verified with the account's secret" in webhook
    assert "verified with the API key that submitted the job" in webhook
    assert find_ours(demo_home(command.home).folder) == []
