"""Many deliveries, several replicas and dead receivers: nobody is called twice at once, nobody waits for another."""

from __future__ import annotations

import asyncio
from collections import Counter

from gridloom_contract.webhooks import DeliveryState
from gridloom_kit.mongo import Database
from integration.webhook.conftest import Replica, StartWebhook
from integration.webhook.receivers import Receiver, after, listening, ok, silent, status
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler
from unit.webhook.facts import an_acceptance, an_end


async def settled(database: Database, jobs: int) -> None:
    """Return once all deliveries have ended."""
    async with asyncio.timeout(60):
        while await database["deliveries"].count_documents({"state": {"$in": ["delivered", "dead"]}}) < jobs:
            await asyncio.sleep(0.05)


async def run_jobs(scheduler: ScriptedScheduler, url: str, count: int, account: str = "acc1") -> set[str]:
    """Let many jobs be accepted and end; return the ids of their events."""
    accepted = [an_acceptance(url, account=account) for _ in range(count)]
    await scheduler.tell(*accepted)
    await scheduler.tell(*(an_end(fact.job, account=account) for fact in accepted))
    return {f"evt_{fact.job}_4" for fact in accepted}


async def test_two_replicas_never_send_the_same_attempt(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, receiver: Receiver, database: Database
) -> None:
    await start_webhook(schedule_seconds=(0.05, 0.1, 0.1), breaker_failures=1000)
    await start_webhook(schedule_seconds=(0.05, 0.1, 0.1), breaker_failures=1000)
    receiver.behaviours = [*[status(500)] * 60, ok]
    events = await run_jobs(scheduler, receiver.url, 60)
    await settled(database, 60)
    attempts = Counter((one.id, one.headers["x-gridloom-delivery-attempt"]) for one in receiver.requests)
    assert {event for event, _ in attempts} == events
    assert set(attempts.values()) == {1}


async def test_a_receiver_is_never_called_more_than_four_times_at_once(
    webhook: Replica, scheduler: ScriptedScheduler, receiver: Receiver, database: Database
) -> None:
    receiver.behaviours = [after(0.02)]
    events = await run_jobs(scheduler, receiver.url, 100)
    await settled(database, 100)
    assert {request.id for request in receiver.requests} == events
    assert len(receiver.requests) == 100
    assert receiver.most_at_once == 4


async def test_what_finds_the_stock_full_is_sent_without_waiting_for_the_sweep(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, receiver: Receiver, database: Database
) -> None:
    await start_webhook(sweep_seconds=600.0, lease_seconds=600.0)
    receiver.behaviours = [after(0.05)]

    events = await run_jobs(scheduler, receiver.url, 150)
    async with asyncio.timeout(20):
        while await database["deliveries"].count_documents({}) < 150:
            await asyncio.sleep(0.01)
    events |= await run_jobs(scheduler, receiver.url, 50)

    assert {request.id for request in await receiver.received(200)} == events


async def test_another_attempt_is_not_forgotten_over_what_is_sent_meanwhile(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, receiver: Receiver
) -> None:
    await start_webhook(schedule_seconds=(0, 1.0, 60), sweep_seconds=600.0, lease_seconds=600.0)
    receiver.behaviours = [status(500), ok]
    [failed] = await run_jobs(scheduler, receiver.url, 1)
    await receiver.received(1)

    await run_jobs(scheduler, receiver.url, 3)

    assert (await receiver.received(5))[4].id == failed


async def test_dead_receivers_delay_nobody_else(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, receiver: Receiver
) -> None:
    await start_webhook(total_seconds=30.0, connect_seconds=30.0, lease_seconds=60.0)
    async with listening(silent) as dead:
        for number in range(20):
            target = dead if number % 10 == 0 else receiver
            await run_jobs(scheduler, f"{target.url}/{number}", 10, account=f"acc{number}")
        await receiver.received(180)
        assert dead.running == len(dead.requests) > 0


async def test_a_receiver_that_is_dead_for_one_account_is_not_for_another(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, gateway: ScriptedGateway, receiver: Receiver
) -> None:
    await start_webhook(breaker_failures=1, breaker_seconds=60.0, breaker_most_seconds=60.0)
    receiver.behaviours = [status(500), ok]
    held = await scheduler.run_job(receiver.url, account="acc1")
    await receiver.received(1)
    other = await scheduler.run_job(receiver.url, account="acc2")
    await gateway.delivery(other, DeliveryState.DELIVERED, account="acc2")
    assert (await gateway.delivery(held)).state is DeliveryState.PENDING


async def test_after_a_breaker_has_opened_one_probe_closes_it(
    start_webhook: StartWebhook, scheduler: ScriptedScheduler, receiver: Receiver, database: Database
) -> None:
    await start_webhook(schedule_seconds=(0, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05), breaker_seconds=0.3)
    receiver.behaviours = [*[status(503)] * 4, ok]
    events = await run_jobs(scheduler, receiver.url, 20)
    await settled(database, 20)
    assert {request.id for request in receiver.requests} == events
    assert len(receiver.requests) == 24


async def test_stopping_lets_a_request_end_and_hands_the_others_back(
    webhook: Replica, scheduler: ScriptedScheduler, receiver: Receiver, database: Database, start_webhook: StartWebhook
) -> None:
    receiver.behaviours = [after(0.5)]
    events = await run_jobs(scheduler, receiver.url, 10)
    await receiver.received(1)
    await webhook.stop()
    recorded = [one async for one in database["deliveries"].find({"state": "delivered"})]
    assert len(recorded) == len(receiver.requests) > 0
    assert await database["deliveries"].count_documents({"lease": {"$exists": True}}) == 0
    receiver.behaviours = [ok]
    await start_webhook()
    await settled(database, 10)
    assert Counter(request.id for request in receiver.requests) == Counter(events)
