"""The process dies between any two of its writes: nothing is lost, counted twice or left reserved."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import fields

import gridloom_quota
from gridloom_contract.fault import FaultError
from gridloom_kit.settings import environment_name
from gridloom_quota.settings import Settings
from integration.quota.conftest import SettingsFor
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler

SOURCES = Path(gridloom_quota.__file__).parent
POINTS = sorted(
    {point for path in SOURCES.rglob("*.py") for point in re.findall(r'point\("(.+?)"\)', path.read_text())}
)
CRASHED = 137
Answer = TypeVar("Answer")
PASSAGES = {"quota.stored": (1, 2, 4), "quota.copied": (1, 4), "quota.plan_stored": (1, 2)}
"""At which passages of a point to crash, where the first is not enough."""
REDELIVERY_SECONDS = 40
Process = asyncio.subprocess.Process
StartProcess = Callable[..., Awaitable[Process]]


@dataclass(frozen=True)
class Around:
    """Everybody around the quota service."""

    gateway: Gateway
    scheduler: Scheduler
    ledger: Ledger


@pytest.fixture
async def start_process(quota_settings: SettingsFor) -> AsyncIterator[StartProcess]:
    """Starts the quota service as a process that may crash at a point."""
    started: list[Process] = []

    async def start(crash_at: str = "") -> Process:
        settings = quota_settings(grant_seconds=1.0, grant_grace_seconds=1.0)
        environment = {
            environment_name("quota", each.name): str(getattr(settings, each.name)) for each in fields(Settings)
        }
        armed = {"GRIDLOOM_CRASH_AT": crash_at} if crash_at else {}
        path = {"PATH": os.environ.get("PATH", "")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gridloom_quota",
            env={**environment, **armed, **path},
            stdout=asyncio.subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_every_point_is_found() -> None:
    assert len(POINTS) >= 9


@pytest.fixture
def around(gateway: Gateway, scheduler: Scheduler, ledger: Ledger) -> Around:
    """Everybody around the quota service."""
    return Around(gateway, scheduler, ledger)


@pytest.mark.slow  # what died unacknowledged is delivered again after half a minute
@pytest.mark.parametrize(
    ("point", "passage"), [(point, each) for point in POINTS for each in PASSAGES.get(point, (1,))]
)
async def test_a_crash_costs_nothing(start_process: StartProcess, around: Around, point: str, passage: int) -> None:
    gateway, crashing = around.gateway, await start_process(f"{point}:{passage}")
    await gateway.until_answered()
    async with asyncio.TaskGroup() as tasks:
        work, dying = tasks.create_task(_work(around)), tasks.create_task(crashing.wait())
        async with asyncio.timeout(20):
            await dying
        assert dying.result() == CRASHED
        await start_process()
        async with asyncio.timeout(20):
            await work

    await gateway.until_answered()
    # What the dead process had in hand is delivered again once its acknowledgement is overdue.
    await gateway.until("acme", lambda month: (month.used, month.reserved) == (270, 0), REDELIVERY_SECONDS)
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
            return await asyncio.wait_for(ask(), 2)
        except (FaultError, TimeoutError):
            await asyncio.sleep(0.05)
