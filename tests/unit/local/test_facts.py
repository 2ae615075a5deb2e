"""The facts of a running stack go to a file that people, shells and commands read alike."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from gridloom_local.facts import Facts, read_facts, setting, write_facts
from gridloom_local.home import Home
from gridloom_local.problems import NOT_REACHABLE, Problem


def some_facts(**changes: str) -> Facts:
    known = {
        "url": "http://127.0.0.1:8080",
        "api_key": "glm_abc_def",
        "admin_key": "gla_x",
        "model": "smollm2:135m",
        "nats_url": "nats://127.0.0.1:4222",
        "mongo_url": "mongodb://admin:secret@127.0.0.1:27017/gridloom?authSource=admin&replicaSet=gridloom",
    }
    return Facts(**(known | changes))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_was_written_is_read_again(home: Home) -> None:
    facts = some_facts(api_key="with 'quotes' and $dollars")

    write_facts(home, facts)

    assert read_facts(home) == facts


def test_a_shell_can_read_the_file(home: Home) -> None:
    facts = some_facts(model="a b'c")
    write_facts(home, facts)

    shell = subprocess.run(
        ["/bin/sh", "-c", f'. {home.env_file}; printf \'%s|%s\' "$GRIDLOOM_MONGO_URL" "$GRIDLOOM_MODEL"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shell.stdout == f"{facts.mongo_url}|{facts.model}"


def test_the_file_holds_secrets_and_is_its_owners_alone(home: Home) -> None:
    write_facts(home, some_facts())

    assert stat.S_IMODE(home.env_file.stat().st_mode) == 0o600


def test_without_a_file_there_are_no_facts(home: Home) -> None:
    assert read_facts(home) is None


def test_an_incomplete_file_counts_as_none(home: Home) -> None:
    home.env_file.write_text("GRIDLOOM_URL=http://127.0.0.1:1\n")

    assert read_facts(home) is None


def test_the_environment_wins_over_the_file(home: Home) -> None:
    write_facts(home, some_facts(url="http://127.0.0.1:1"))

    assert setting("url", home, {"GRIDLOOM_URL": "http://elsewhere"}) == "http://elsewhere"
    assert setting("url", home, {}) == "http://127.0.0.1:1"


def test_a_missing_setting_is_named_with_what_to_do(home: Home) -> None:
    with pytest.raises(Problem, match="GRIDLOOM_API_KEY is not set") as caught:
        setting("api_key", home, {})

    assert "gridloom up" in caught.value.render()
    assert caught.value.exit_code == NOT_REACHABLE


def test_the_curl_line_is_one_shell_command_with_a_json_body() -> None:
    line = some_facts().curl()

    words = subprocess.run(
        ["/bin/sh", "-c", line.replace("curl", "printf '%s\\n'", 1)], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert words[1] == "http://127.0.0.1:8080/api/v1/jobs"
    assert "Authorization: Bearer glm_abc_def" in words
    assert '{"model": "smollm2:135m", "prompt": "Say hello"}' in words
