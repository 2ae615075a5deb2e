"""The served description against the served API, tried by a fuzzer that is not ours (Schemathesis)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.accounting import account_of
from gridloom_contract.registry import BLOB, GATEWAY, QUOTA, SCHEDULER, USAGE, WEBHOOK, WORKER
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

SEED = "20261120"
CASES_PER_OPERATION = "15"
MODEL = "llama3:8b"
"""The one that the description gives as an example."""
WITHOUT = {
    "positive_data_acceptance": "what fits its schema may still name an unknown model or a time in the past",
    "ensure_resource_availability": "a new job has no usage yet",
    "use_after_free": "DELETE cancels a job, which is there to be read all the same",
}


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with every service, whose gateway bears many failed authentications."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("fuzzed")) as opened:
        for service in (SCHEDULER, QUOTA, USAGE, BLOB):
            opened.start(service)
        opened.start(WEBHOOK, allow_private=True)
        opened.start(GATEWAY, webhook_allow_private=True, auth_failures_per_minute=1_000_000)
        opened.wait_until_ready()
        opened.start(WORKER, opened.enrol(), slots=8, models=MODEL)
        opened.wait_until_ready()
        yield opened


async def fuzzed(grid: Grid, key: str, paths: str, folder: Path, *expected: str) -> tuple[int, str]:
    """Run the fuzzer over some paths, without checks that find what is `expected`. Return its verdict and its words."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{grid.url}/openapi.json", "--no-color"),
        *("--include-path-regex", paths, "--header", f"Authorization: Bearer {key}", "--request-timeout", "15"),
        *("--checks", "all", "--exclude-checks", ",".join((*WITHOUT, *expected)), "--continue-on-failure"),
        *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", CASES_PER_OPERATION),
        # One thread: Python 3.11 cannot bear two that parse Python at once, as the fuzzer's own engine does.
        *("--seed", SEED, "--generation-database", "none", "--workers", "1"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return await process.wait(), told.decode()


def has_tried(told: str) -> bool:
    """Whether every phase found something to do."""
    return all(f"{phase} (in " in told for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"))


@pytest.mark.slow
async def test_accounts_are_served_what_is_described(grid: Grid, tmp_path: Path) -> None:
    async with grid.client() as client:
        await client.ended(await client.submit(MODEL, webhook_url=f"http://{LOOPBACK}:{free_port()}/"))
        verdict, told = await fuzzed(grid, client.key, "^/api/v1/", tmp_path)

    assert has_tried(told), told
    assert verdict == 0, told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mount", "expected"),
    # A job that is pinned to a node that there is not is a 503, and refusals of the other API are a 200.
    [("/v1", ()), ("/infernet/api/v1", ("not_a_server_error",)), ("/remotejobs/v2", ("negative_data_rejection",))],
)
async def test_clients_of_other_apis_are_served_what_is_described(
    grid: Grid, tmp_path: Path, mount: str, expected: tuple[str, ...]
) -> None:
    async with grid.client() as client:
        name = mount.split("/")[1]
        grid.ask("POST", "/admin/v1/plans", {"name": name, "rates": [{"group": name, "per_minute": 1_000_000}]})
        grid.ask("PUT", f"/admin/v1/accounts/{account_of(grid, client)}/plan", {"plan": name})
        verdict, told = await fuzzed(grid, client.key, f"^{mount}/", tmp_path, *expected)

    assert verdict == 0, told


@pytest.mark.slow
async def test_operators_are_served_what_is_described(grid: Grid, tmp_path: Path) -> None:
    verdict, told = await fuzzed(grid, grid.admin_key, "^/admin/v1/", tmp_path)

    assert has_tried(told), told
    assert verdict == 0, told
