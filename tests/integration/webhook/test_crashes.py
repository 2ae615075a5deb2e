"""The webhook service dies at every step, as a process; started again, every receiver has been told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridloom_webhook
from gridloom_contract.registry import WEBHOOK
from gridloom_kit.bus import Bus
from gridloom_kit.mongo import Database
from gridloom_testing.crashes import StartProcess, crash_points, deliver_again_soon, processes_of, until_crashed
from gridloom_testing.plugin import OpenBus
from integration.webhook.conftest import Scene, SettingsFor
from integration.webhook.receivers import ok, status
from unit.webhook.facts import an_acceptance, an_end

POINTS = crash_points(gridloom_webhook)
QUICK = {
    "schedule_seconds": (0, *[0.05] * 30),
    "breaker_failures": 1000,
    "breaker_seconds": 0.02,
    "breaker_most_seconds": 0.04,
    "total_seconds": 0.5,
    "lease_seconds": 1.0,
}


@pytest.fixture
def start_process(webhook_settings: SettingsFor, tmp_path: Path) -> Iterator[StartProcess]:
    """Starts the service as a process that dies at a crash point."""
    with processes_of(WEBHOOK, webhook_settings, tmp_path) as start:
        yield start


@pytest.fixture
async def own_bus(bus_for: OpenBus) -> Bus:
    """A bus with the rights of the service."""
    return await bus_for(WEBHOOK)


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
    point: str, passage: int, scene: Scene, start_process: StartProcess, own_bus: Bus
) -> None:
    # The first attempts fail, so that deliveries are also claimed from the record and not only sent as they come.
    scene.receiver.behaviours = [*[status(500)] * 8, ok]
    doomed = start_process(f"{point}:{passage}", **QUICK)
    jobs = [an_acceptance(f"{scene.receiver.url}/{number}") for number in range(6)]
    await scene.scheduler.tell(*jobs)
    await scene.scheduler.tell(*(an_end(job.job) for job in jobs))
    await until_crashed(doomed)
    await scene.start_webhook(**QUICK)
    await deliver_again_soon(own_bus, WEBHOOK)
    await all_delivered(scene.database, 6)
    sent = Counter((one.id, one.headers["x-gridloom-delivery-attempt"]) for one in scene.receiver.requests)
    assert {event for event, _ in sent} == {f"evt_{job.job}_4" for job in jobs}
    # What was under way when it died may have been sent twice, and nothing more often.
    assert max(sent.values()) <= 2
    assert len({one.body for one in scene.receiver.requests}) == 6


async def test_killed_at_any_moment_it_goes_on(scene: Scene, start_process: StartProcess, own_bus: Bus) -> None:
    jobs = [an_acceptance(scene.receiver.url) for _ in range(200)]
    doomed = start_process()
    await scene.gateway.until_answered()
    await scene.scheduler.tell(*jobs)
    await scene.scheduler.tell(*(an_end(job.job) for job in jobs))
    await scene.receiver.received(40)
    doomed.kill()
    await scene.start_webhook()
    await deliver_again_soon(own_bus, WEBHOOK)
    await all_delivered(scene.database, 200)
    assert {one.id for one in scene.receiver.requests} == {f"evt_{job.job}_4" for job in jobs}
