"""The process dies between any two of its writes: nothing is lost, counted twice or left reserved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

import gridloom_quota
from gridloom_contract.fault import FaultError
from gridloom_contract.registry import QUOTA
from gridloom_kit.bus import Bus
from gridloom_testing.crashes import StartProcess, crash_points, deliver_again_soon, processes_of, until_crashed
from gridloom_testing.plugin import OpenBus
from integration.quota.conftest import SettingsFor
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler

POINTS = crash_points(gridloom_quota)
Answer = TypeVar("Answer")
PASSAGES = {"quota.stored": (1, 2, 4), "quota.copied": (1, 4), "quota.plan_stored": (1, 2)}
"""At which passages of a point to crash, where the first is not enough."""


@dataclass(frozen=True)
class Around:
    """Everybody around the quota service."""

    gateway: Gateway
    scheduler: Scheduler
    ledger: Ledger
    own_bus: Bus


@pytest.fixture
def start_process(quota_settings: SettingsFor, tmp_path: Path) -> Iterator[StartProcess]:
    """Starts the quota service as a process that may crash at a point."""
    settings = partial(quota_settings, grant_seconds=1.0, grant_grace_seconds=1.0)
    with processes_of(QUOTA, settings, tmp_path) as start:
        yield start


def test_every_point_is_found() -> None:
    assert len(POINTS) >= 9


@pytest.fixture
async def around(gateway: Gateway, scheduler: Scheduler, ledger: Ledger, bus_for: OpenBus) -> Around:
    """Everybody around the quota service, and a bus with its rights."""
    return Around(gateway, scheduler, ledger, await bus_for(QUOTA))


@pytest.mark.parametrize(
    ("point", "passage"), [(point, each) for point in POINTS for each in PASSAGES.get(point, (1,))]
)
async def test_a_crash_costs_nothing(start_process: StartProcess, around: Around, point: str, passage: int) -> None:
    gateway, crashing = around.gateway, start_process(f"{point}:{passage}")
    await gateway.until_answered()
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(_work(around))
        await until_crashed(crashing)
        start_process()
        async with asyncio.timeout(20):
            await work

    await gateway.until_answered()
    await deliver_again_soon(around.own_bus, QUOTA)
    await gateway.until("acme", lambda month: (month.used, month.reserved) == (270, 0))
    await gateway.until("acme", lambda month: month.headroom == 3_000 - 270)
    assert (await gateway.verify()).differences == ()


async def _work(around: Around) -> None:
    """Let three jobs run, one of them twice, and ask again whatever nobody answered."""
    gateway, scheduler, ledger = around.gateway, around.scheduler, around.ledger
    await _insist(lambda: gateway.put_plan("team", monthly_tokens=1_000))
    await _insist(lambda: gateway.assign("acme", "team"))
    grant = await _insist(lambda: scheduler.take("acme", 900))
    await _insist(lambda: scheduler.take("acme", 800))
    await _insist(lambda: gateway.take_rate("key1", 10))
    jobs = [JobStory("acme") for _ in range(3)]
    for job in jobs:
        await scheduler.tell(job.assigned(grant.grant, 100))
    await scheduler.tell(jobs[0].requeued(), jobs[0].assigned(grant.grant, 100))
    await _insist(lambda: gateway.put_plan("team", monthly_tokens=3_000))
    await scheduler.until_released("acme", within_seconds=15)
    await _insist(lambda: gateway.take_rate("key1", 10))
    ends = [job.finished(90) for job in jobs]
    ledger.book(*ends)
    for end in ends:
        await scheduler.tell(end)


async def _insist(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    while True:
        try:
            return await asyncio.wait_for(ask(), 1)
        except (FaultError, TimeoutError):
            await asyncio.sleep(0.05)
