"""The webhook service dies at every step, as a process; started again, every receiver has been told."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

import gridloom_webhook
from gridloom_contract.registry import WEBHOOK
from gridloom_contract.streams import EVENTS
from gridloom_kit.mongo import Database
from gridloom_kit.settings import environment_name
from gridloom_testing.plugin import OpenBus
from integration.webhook.conftest import Scene, SettingsFor
from integration.webhook.receivers import ok, status
from unit.webhook.facts import an_acceptance, an_end

KILLED = 137
SOURCES = Path(gridloom_webhook.__file__).parent
POINTS = sorted(
    {name for source in SOURCES.rglob("*.py") for name in re.findall(r'\bpoint\("(\S+?)"\)', source.read_text())}
)

StartProcess = Callable[..., Awaitable[asyncio.subprocess.Process]]
Shorten = Callable[[], Awaitable[None]]


@pytest.fixture
async def start_process(webhook_settings: SettingsFor, tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts the service as a process that dies at a crash point."""
    started: list[asyncio.subprocess.Process] = []

    async def start(crash_at: str = "", **changes: object) -> asyncio.subprocess.Process:
        values = msgspec.structs.asdict(webhook_settings(**changes))
        environment = {environment_name(WEBHOOK, field): spelled(value) for field, value in values.items()}
        with (tmp_path / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gridloom_webhook"),
                env={**os.environ, **environment, "GRIDLOOM_CRASH_AT": crash_at},
                stdout=log,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def deliver_again_soon(bus_for: OpenBus) -> Shorten:
    """Has the server repeat what the dead process had in hand after a second instead of half a minute."""
    bus = await bus_for(WEBHOOK)

    async def shorten() -> None:
        info = await bus.js_api(f"CONSUMER.INFO.{EVENTS}.{WEBHOOK}")
        config = info["config"] | {"ack_wait": 1_000_000_000}
        await bus.js_api(f"CONSUMER.CREATE.{EVENTS}.{WEBHOOK}", {"stream_name": EVENTS, "config": config})

    return shorten


def spelled(value: object) -> str:
    """Return a setting as an environment has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


async def all_delivered(database: Database, count: int) -> None:
    """Return once so many deliveries have arrived, and no sealed key is left."""
    async with asyncio.timeout(40):
        while await database["deliveries"].count_documents({"state": "delivered"}) < count:
            await asyncio.sleep(0.05)
        while await database["subscriptions"].count_documents({"sealed_key": {"$exists": True}}):
            await asyncio.sleep(0.05)


def test_every_step_has_a_crash_point() -> None:
    steps = ("subscribed", "rendered", "inserted", "claimed", "sent", "recorded")
    assert set(POINTS) == {f"webhook.{step}" for step in steps}


@pytest.mark.parametrize("passage", [1, 4])
@pytest.mark.parametrize("point", POINTS)
async def test_no_webhook_is_lost_at(
    point: str, passage: int, scene: Scene, start_process: StartProcess, deliver_again_soon: Shorten
) -> None:
    # The first attempts fail, so that deliveries are also claimed from the record and not only sent as they come.
    scene.receiver.behaviours = [*[status(500)] * 30, ok]
    settings = {"schedule_seconds": (0, *[0.05] * 30), "breaker_failures": 1000}
    doomed = await start_process(f"{point}:{passage}", **settings)
    jobs = [an_acceptance(f"{scene.receiver.url}/{number}") for number in range(6)]
    await scene.scheduler.tell(*jobs)
    await scene.scheduler.tell(*(an_end(job.job) for job in jobs))
    assert await asyncio.wait_for(doomed.wait(), 30) == KILLED
    await scene.start_webhook(**settings)
    await deliver_again_soon()
    await all_delivered(scene.database, 6)
    sent = Counter((one.id, one.headers["x-gridloom-delivery-attempt"]) for one in scene.receiver.requests)
    assert {event for event, _ in sent} == {f"evt_{job.job}_4" for job in jobs}
    # What was under way when it died may have been sent twice, and nothing more often.
    assert max(sent.values()) <= 2
    assert len({one.body for one in scene.receiver.requests}) == 6


async def test_killed_at_any_moment_it_goes_on(
    scene: Scene, start_process: StartProcess, deliver_again_soon: Shorten
) -> None:
    jobs = [an_acceptance(scene.receiver.url) for _ in range(200)]
    doomed = await start_process()
    await scene.gateway.until_answered()
    await scene.scheduler.tell(*jobs)
    await scene.scheduler.tell(*(an_end(job.job) for job in jobs))
    await scene.receiver.received(40)
    doomed.kill()
    await doomed.wait()
    await scene.start_webhook()
    await deliver_again_soon()
    await all_delivered(scene.database, 200)
    assert {one.id for one in scene.receiver.requests} == {f"evt_{job.job}_4" for job in jobs}
