"""What the logs do not say: no key, token, password, prompt or answer, whatever happened and however much is logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_local.secrets import Secrets
from gridloom_testing.builders import a_worker_token
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid
from gridloom_testing.servers import MongoServer

PROMPT = "xylophone-quartz-heliotrope"
EVERYTHING = {"log_level": "debug"}
DAY_MS = 86_400_000


@pytest.fixture
def grid(own_grid: Grid) -> Grid:
    """A grid that logs all it can, with a worker whose token is good and one whose token is not."""
    own_grid.start(SCHEDULER, **EVERYTHING)
    own_grid.start(QUOTA, **EVERYTHING)
    own_grid.start(GATEWAY, **EVERYTHING)
    own_grid.wait_until_ready()
    own_grid.start(WORKER, own_grid.enrol(), **EVERYTHING)
    own_grid.wait_until_ready()
    own_grid.start(WORKER, a_worker_token(), **EVERYTHING)
    return own_grid


def strings_in(value: Any) -> Iterator[str]:
    """Yield every text inside a structure."""
    if isinstance(value, dict):
        yield from (text for part in value.values() for text in strings_in(part))
    elif isinstance(value, str):
        yield value


def logs_of(grid: Grid) -> dict[str, str]:
    """Return the log of every process and server."""
    files: dict[str, Path] = {name: process.server.log for name, process in grid.processes.items()}
    files |= {"nats": grid.nats._machine._server.log, "mongo": grid.mongo._machine._server.log}
    return {name: file.read_text(errors="replace") for name, file in files.items()}


def words_kept(grid: Grid, secrets: Secrets, *more: str) -> set[str]:
    """Return all that must not be said: what the stack keeps, the workers' tokens, and what the test adds."""
    tokens = [process.server.environment.get("GRIDLOOM_WORKER_TOKEN", "") for process in grid.processes.values()]
    kept = {*strings_in(msgspec.to_builtins(secrets)), *tokens, *more}
    bare = {word.rpartition("_")[2] for word in kept}
    return {word for word in kept | bare if len(word) > 10}


async def provoke(client: ApiClient, grid: Grid) -> list[str]:
    """Have the grid meet prompts, answers, mistakes and refusals. Return the texts it was given or gave."""
    done = await client.ended(await client.submit(prompt=f"{PROMPT} a [[tokens=9]]", tag="harmless"))
    for directive in ("[[fail]]", "[[reject]]", "[[hang]]"):
        job = await client.submit(prompt=f"{PROMPT} {directive}", timeout_seconds=1)
        await client.ended(job)
    await client.call("POST", JOBS, {"model": f"{PROMPT} b", "prompt": PROMPT})
    await client.call("POST", JOBS, {"model": "synthetic", "prompt": PROMPT, "tag": f"{PROMPT} " * 9})
    await client.call("POST", JOBS, {"model": "synthetic", "prompt": [PROMPT]})
    await client.call("GET", f"{JOBS}?api_key={client.key}")
    wrong = client.key[:-4] + "zzzz"
    async with ApiClient(grid.url, wrong) as intruder:
        assert (await intruder.call("GET", JOBS)).status == 401
    issued = grid.ask("POST", f"/admin/v1/keys/{client.key.split('_')[1]}/rotate")
    return [PROMPT, done["output"], client.key, wrong, issued["key"]]


async def test_no_log_has_a_secret_a_prompt_or_an_answer(grid: Grid, secrets: Secrets) -> None:
    async with grid.client() as client:
        said = await provoke(client, grid)
    for process in grid.processes.values():
        process.stop()

    kept = words_kept(grid, secrets, *said)
    logs = logs_of(grid)
    told = {name: [word for word in kept if word in text] for name, text in logs.items()}

    assert set(map(bool, logs.values())) == {True}
    assert not any(told.values()), told


def test_no_command_is_slow_enough_for_the_log_of_the_database(mongo_server: MongoServer, database_name: str) -> None:
    """It would be written as it is, with the answer that it stores."""
    assert mongo_server.admin[database_name].command("profile", -1)["slowms"] >= DAY_MS
