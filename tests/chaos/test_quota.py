"""A quota that somebody is killed under is neither overdrawn nor lost: not one token stays reserved for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chaos.gate import open_gate
from chaos.recovery import recovering
from e2e.quotas import Customer, a_customer, hire, proven, start_metered
from gridloom_contract.registry import QUOTA, SCHEDULER
from gridloom_kit.mongo import open_database
from gridloom_testing.grid import Grid

BRIEF = {"grant_seconds": 3.0, "grant_grace_seconds": 4.0}
"""Settings of a quota service in which what a dead scheduler held comes back soon."""
_POLL_SECONDS = 0.1


@pytest.fixture
async def customer(own_grid: Grid) -> AsyncIterator[Customer]:
    """An account with a small quota, on a grid with two schedulers and no worker."""
    start_metered(own_grid, schedulers=2, **BRIEF)
    async with a_customer(own_grid, daily_tokens=20_000) as customer:
        yield customer


async def test_while_the_quota_service_is_dead_jobs_run_on_what_is_granted_and_nothing_is_overdrawn(
    own_grid: Grid, customer: Customer
) -> None:
    await hire(own_grid, 2)
    service = next(process for name, process in own_grid.processes.items() if name.startswith(QUOTA))
    async with open_gate("gated") as gate:
        await hire(own_grid, slots=4, **gate.engine("gated"))
        running = await asyncio.gather(*(customer.client.submit(model="gated") for _ in range(4)))
        await gate.until_inside(4)

        service.kill()
        gate.opened.set()
        for job in running:
            assert (await customer.client.ended(job))["status"] == "completed"
    waiting = await customer.submit(100)
    own_grid.start(QUOTA, **BRIEF)
    await own_grid.until_ready()
    async with customer.watched():
        with recovering("quota service killed and started again: a hundred waiting jobs end", 5):
            await customer.until_completed(104)
        await customer.until(reserved=0)
    assert customer.passed == []
    assert {job["attempts"] for job in await customer.documents(waiting)} == {1}
    await proven(own_grid)


async def test_a_scheduler_that_dies_with_reserved_tokens_leaks_none(own_grid: Grid, customer: Customer) -> None:
    await hire(own_grid, 4)
    schedulers = [process for name, process in own_grid.processes.items() if name.startswith(SCHEDULER)]
    async with customer.watched():
        submitting = asyncio.gather(*(customer.client.submit(prompt="[[tokens=10]] [[rate=20]]") for _ in range(60)))
        jobs = list(await submitting)
        await customer.until_completed(10)
        for scheduler in schedulers:
            scheduler.kill()
        own_grid.start(SCHEDULER)
        await customer.until_completed(60)
        standing = await customer.until(reserved=0)
    assert customer.passed == []
    used = sum(job["input_tokens"] + job["output_tokens"] for job in await customer.documents(jobs))
    assert standing["used"] == used
    await until_nothing_is_granted(own_grid, customer)
    await proven(own_grid)


async def until_nothing_is_granted(grid: Grid, customer: Customer) -> None:
    """Return once every token that dead schedulers held is the account's again."""
    url = grid.mongo.url_of("admin", grid.database)
    async with open_database(url, grid.database) as database, asyncio.timeout(30):
        while (await database["quota_accounts"].find_one({"_id": customer.account})).get("grants"):
            await asyncio.sleep(_POLL_SECONDS)
