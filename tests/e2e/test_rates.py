"""Calls a minute through two gateways that share nothing but the quota service."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid

MODELS = "/api/v1/models"
PER_MINUTE = 300
CALLS_AT_ONCE = 8


async def early_in_a_minute() -> None:
    """Return in a minute of which enough is left."""
    left = 60 - datetime.now(UTC).second
    if left < 6:
        await asyncio.sleep(left)


async def spent(client: ApiClient) -> tuple[int, int]:
    """Make calls until they are refused. Return how many were allowed, and after how long to come again."""
    allowed, waits = 0, []

    async def caller() -> None:
        nonlocal allowed
        while not waits:
            answer = await client.call("GET", MODELS)
            assert answer.status in {200, 429}
            if answer.status == 429:
                waits.append(int(answer.headers["Retry-After"]))
            allowed += answer.status == 200

    await asyncio.gather(*(caller() for _ in range(CALLS_AT_ONCE)))
    return allowed, waits[0]


async def test_two_gateways_allow_a_keys_rate_to_within_5_percent(
    grid: Grid, client: ApiClient, beside: ApiClient
) -> None:
    account = grid.ask("GET", "/admin/v1/accounts")["accounts"][0]["id"]
    grid.ask("POST", "/admin/v1/plans", {"name": "slow", "rates": [{"group": "native", "per_minute": PER_MINUTE}]})
    grid.ask("PUT", f"/admin/v1/accounts/{account}/plan", {"plan": "slow"})
    await early_in_a_minute()

    (here, wait), (there, _) = await asyncio.gather(spent(client), spent(beside))
    again = [await client.call("GET", MODELS), await beside.call("GET", MODELS)]

    assert 0.95 * PER_MINUTE <= here + there <= PER_MINUTE
    assert min(here, there) > 0
    assert 1 <= wait <= 60
    assert {answer.status for answer in again} == {429}
    async with grid.client() as neighbour:
        assert (await neighbour.call("GET", MODELS)).status == 200
