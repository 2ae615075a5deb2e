"""What tests of usage share: a grid that counts at once, and what is read of its books."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

from gridloom_contract.registry import USAGE
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid

USAGE_PATH = "/api/v1/usage"
AT_ONCE = {"settle_seconds": 0.0, "catch_up_seconds": 1.0}
"""Settings of a usage service that looks at once for what nobody told it."""
_POLL_SECONDS = 0.05


def start_counting(grid: Grid) -> None:
    """Start a grid whose usage service waits for nothing; return once its worker serves."""
    grid.start(USAGE, **AT_ONCE)
    grid.start_all()


async def usage_of(client: ApiClient, **query: str) -> dict[str, Any]:
    """Return the account's statement."""
    answer = await client.call("GET", USAGE_PATH, params=query)
    assert answer.status == 200, answer.body
    return dict(answer.body)


async def rows_in_csv(client: ApiClient, **query: str) -> list[dict[str, str]]:
    """Return the rows of the account's statement as CSV has them."""
    async with client.session.get(USAGE_PATH, params=query | {"format": "csv"}) as answer:
        assert answer.status == 200
        return list(csv.DictReader(io.StringIO(await answer.text())))


async def until_counted(client: ApiClient, jobs: int, within_seconds: float = 30.0) -> dict[str, Any]:
    """Return the account's statement once so many endings are in it, and the quota service knows of them, too."""
    total = 0
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                statement = await usage_of(client)
                total = statement["total"]["jobs"]
                if total >= jobs and _is_settled(statement):
                    return statement
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{total} of {jobs} endings were counted") from None


def _is_settled(statement: dict[str, Any]) -> bool:
    """Whether the month's quota is as far as the ledger, where it is shown and this month's alone."""
    total, quota = statement["total"], statement["quota"]
    tokens = total["input_tokens"] + total["output_tokens"]
    return quota is None or all(window["used"] >= tokens for window in quota["windows"])


async def line_of(client: ApiClient, job: str, within_seconds: float = 30.0) -> dict[str, Any]:
    """Return the job's line in the ledger once it is there."""
    async with asyncio.timeout(within_seconds):
        while (answer := await client.call("GET", f"{JOBS}/{job}/usage")).status == 404:
            await asyncio.sleep(_POLL_SECONDS)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def proof_of(grid: Grid) -> dict[str, Any]:
    """Have the books proved."""
    return dict(grid.ask("POST", "/admin/v1/usage/verify"))


def account_of(grid: Grid, client: ApiClient) -> str:
    """Return the id of the client's account."""
    kid = client.key.split("_")[1]
    for account in grid.ask("GET", "/admin/v1/accounts?per_page=500")["accounts"]:
        if kid in str(grid.ask("GET", f"/admin/v1/accounts/{account['id']}/keys")):
            return str(account["id"])
    raise AssertionError("the client has no account")
