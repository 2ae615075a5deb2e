"""Intermediate events: at most one in half a second, the latest wins, none after the end, none twice."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from gridloom_contract.webhooks import DeliveryState
from gridloom_testing.builders import a_job_id
from integration.webhook.conftest import Replica, StartWebhook
from integration.webhook.receivers import Receiver, Request, after, ok, status
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler
from unit.webhook.facts import a_start, an_acceptance, an_end

BOTH: dict[str, Any] = {"order": {"events": ("start", "completed")}}


def apart(later: Request, earlier: Request) -> bool:
    """Whether they arrived half a second apart, but for what two clocks differ in."""
    return (later.at - earlier.at).total_seconds() >= 0.495


async def started(scheduler: ScriptedScheduler, receiver: Receiver) -> str:
    """Let a job start whose owner wants to know."""
    job = a_job_id()
    await scheduler.tell(an_acceptance(receiver.url, job, **BOTH), a_start(job))
    return job


async def test_a_start_is_told_signed_like_the_end(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    job = await started(scheduler, receiver)
    start = (await receiver.received(1))[0]
    assert (start.id, start.headers["x-gridloom-event"]) == (f"evt_{job}_3", "start")
    assert start.body == gateway.body_of(job)
    assert "x-vibe-signature" in start.headers
    await scheduler.tell(an_end(job))
    assert (await receiver.received(2))[1].id == f"evt_{job}_4"
    logged = await gateway.deliveries(job=job)
    assert {one.event for one in logged.deliveries} <= {"start", "completed"}


async def test_who_did_not_ask_for_a_start_is_not_told(
    webhook: Replica, scheduler: ScriptedScheduler, receiver: Receiver
) -> None:
    job = a_job_id()
    await scheduler.tell(an_acceptance(receiver.url, job), a_start(job), an_end(job))
    assert [request.id for request in await receiver.received(1)] == [f"evt_{job}_4"]


async def test_a_start_that_fails_is_never_repeated(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    receiver.behaviours = [status(500), ok]
    job = await started(scheduler, receiver)
    dropped = await gateway.delivery(job, DeliveryState.DROPPED)
    assert [attempt.result for attempt in dropped.attempts] == ["5xx"]
    assert await gateway.replay(deliveries=(dropped.delivery,)) == 0
    await scheduler.tell(an_end(job))
    assert [one.id for one in await receiver.received(2)] == [f"evt_{job}_3", f"evt_{job}_4"]


async def test_of_several_within_half_a_second_the_latest_is_told(
    webhook: Replica, scheduler: ScriptedScheduler, receiver: Receiver
) -> None:
    job = await started(scheduler, receiver)
    await receiver.received(1)
    await scheduler.tell(*(a_start(job, seq=seq, attempt=seq - 2) for seq in (5, 7, 9)))
    first, second = await receiver.received(2)
    assert (first.id, second.id) == (f"evt_{job}_3", f"evt_{job}_9")
    assert apart(second, first)


async def test_replicas_keep_the_distance_together_and_the_latest_arrives(
    webhook: Replica, start_webhook: StartWebhook, scheduler: ScriptedScheduler, receiver: Receiver
) -> None:
    await start_webhook()
    job = await started(scheduler, receiver)
    for seq in range(5, 45, 2):
        await scheduler.tell(a_start(job, seq=seq))
        await asyncio.sleep(0.05)
    while receiver.requests[-1].id != f"evt_{job}_43":
        await receiver.received(len(receiver.requests) + 1)
    assert all(apart(later, earlier) for earlier, later in pairwise(receiver.requests))


async def test_a_start_that_comes_after_the_end_is_not_told(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    job = a_job_id()
    await scheduler.tell(an_acceptance(receiver.url, job, **BOTH), an_end(job))
    await receiver.received(1)
    await scheduler.tell(a_start(job))
    other = await scheduler.run_job(receiver.url)
    await gateway.delivery(other, DeliveryState.DELIVERED)
    assert [request.id for request in receiver.requests] == [f"evt_{job}_4", f"evt_{other}_4"]


async def test_the_end_does_not_wait_for_a_slow_start(
    webhook: Replica, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    receiver.behaviours = [after(30), ok]
    job = await started(scheduler, receiver)
    await receiver.received(1)
    await scheduler.tell(an_end(job))
    assert (await receiver.received(2))[1].id == f"evt_{job}_4"
    await gateway.delivery(job, DeliveryState.DELIVERED)
