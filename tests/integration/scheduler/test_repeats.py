"""What a restarted NATS server forgets, or does not take, is sent again as it was: the same attempt, the same lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from gridloom_contract import subjects
from gridloom_contract.streams import STREAMS, WORK_STREAMS, Stream
from gridloom_contract.vocabulary import State
from gridloom_contract.work import Verdict, WorkOrder
from gridloom_kit.bus import Bus
from gridloom_kit.mongo import Database
from gridloom_kit.streams import ensure_streams
from gridloom_testing.builders import a_job_id, a_submission
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer
from integration.scheduler.conftest import Replica, StartScheduler, StartWorker
from integration.scheduler.scripted import Gateway, ScriptedWorker, names_of

pytestmark = pytest.mark.usefixtures("empty_streams")

LEASE_SECONDS = 2.0
"""As in the settings of these tests."""
DONE_AT_ONCE = ["accepted", "assigned", "started", "finished"]
ON_FILE = tuple(
    msgspec.structs.replace(stream, config=stream.config | {"storage": "file"}) if stream.is_rebuilt else stream
    for stream in STREAMS
)
"""The streams as they were when orders were stored on the disk."""


async def order_of_a_new_job(gateway: Gateway, worker: ScriptedWorker) -> WorkOrder:
    """Submit a job that is tried once, and return its order, which the worker has then."""
    await gateway.submit(max_attempts=1)
    return await worker.next_order()


async def lost_order_of_a_new_job(gateway: Gateway, worker: ScriptedWorker) -> WorkOrder:
    """Submit a job that is tried once, and return its order, which the worker has lost."""
    worker.loses_orders = True
    await gateway.submit(max_attempts=1)
    lost = await lost_order(worker)
    worker.loses_orders = False
    return lost


async def lost_order(worker: ScriptedWorker) -> WorkOrder:
    """The next order that reaches the worker and is lost there."""
    async with asyncio.timeout(10):
        return msgspec.json.decode((await worker.lost.get()).data, type=WorkOrder)


async def made_again(admin: Bus, streams: Sequence[Stream]) -> None:
    """Have all of JetStream forgotten at once, while every connection stands."""
    for stream in streams:
        await admin.js_api(f"STREAM.DELETE.{stream.name}")
    await ensure_streams(admin, streams)


async def test_an_order_that_a_restarted_server_forgot_is_sent_again_as_it_was(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, nats_server: NatsServer
) -> None:
    worker = await start_worker()
    lost = await lost_order_of_a_new_job(gateway, worker)

    nats_server.restart()

    assert await worker.next_order() == lost
    await worker.do(lost)
    assert names_of(await gateway.timeline(lost.job)) == DONE_AT_ONCE


async def test_what_the_worker_has_and_what_was_canceled_is_not_sent_again(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, nats_server: NatsServer, database: Database
) -> None:
    worker = await start_worker(slots=4)
    running, held = [await order_of_a_new_job(gateway, worker) for _ in range(2)]
    await worker.start(running)
    canceled, lost = [await lost_order_of_a_new_job(gateway, worker) for _ in range(2)]
    # As if another replica had canceled it, and this one had not heard of it yet.
    await database["jobs"].update_one({"_id": canceled.job}, {"$set": {"state": "canceled"}, "$unset": {"lease": ""}})

    nats_server.restart()

    assert await worker.next_order() == lost
    await worker.beaten(3)
    assert worker.orders.empty()
    for order in (running, held, lost):
        await worker.end(order)
        assert names_of(await gateway.timeline(order.job)) == DONE_AT_ONCE


async def test_a_server_that_is_away_for_longer_than_a_lease_costs_no_attempt(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, nats_server: NatsServer
) -> None:
    worker = await start_worker(slots=2)
    running, held = [await order_of_a_new_job(gateway, worker) for _ in range(2)]
    await worker.start(running)

    nats_server.kill()
    await asyncio.sleep(LEASE_SECONDS + 1.0)  # two more looks of the vigil, which nobody hears of
    nats_server.start()

    for order in (running, held):
        assert (await worker.end(order)).results == (Verdict.RECORDED,)
        assert names_of(await gateway.timeline(order.job)) == DONE_AT_ONCE


async def test_an_order_that_no_stream_took_is_sent_again(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    worker, admin = await start_worker(), await bus_for("admin")
    for stream in WORK_STREAMS.values():
        await admin.js_api(f"STREAM.DELETE.{stream}")

    job = await gateway.submit(max_attempts=1)

    order = await worker.next_order()
    assert (order.job, order.attempt) == (job, 1)
    await worker.do(order)
    assert names_of(await gateway.timeline(job)) == DONE_AT_ONCE


async def test_an_order_that_jetstream_refuses_for_good_is_taken_back(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    worker, admin, job = await start_worker(), await bus_for("admin"), a_job_id()
    worker.loses_orders = True
    in_the_way = subjects.work("normal", worker.offers[0].model, worker.id, job)
    await admin.client.request(in_the_way, b"an order for an earlier attempt that could not be purged")
    await gateway.try_submit(a_submission(job=job))
    await gateway.until(job, State.CLAIMED)
    worker.loses_orders = False

    order = await worker.next_order()

    assert (order.job, order.attempt) == (job, 2)
    assert [fact.reason for fact in await gateway.timeline(job) if hasattr(fact, "reason") and fact.reason] == [
        "undelivered"
    ]


async def test_streams_that_vanish_while_all_are_connected_are_noticed(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    worker = await start_worker()
    lost = await lost_order_of_a_new_job(gateway, worker)

    await made_again(await bus_for("admin"), STREAMS)

    assert await worker.next_order() == lost
    await worker.do(lost)
    assert names_of(await gateway.timeline(lost.job)) == DONE_AT_ONCE


async def test_a_scheduler_that_starts_after_the_restart_sends_again_what_it_finds(
    start_scheduler: StartScheduler, gateway: Gateway, start_worker: StartWorker, nats_server: NatsServer
) -> None:
    first = await start_scheduler()
    await gateway.until_answered()
    worker = await start_worker(slots=2)
    held = await order_of_a_new_job(gateway, worker)
    lost = await lost_order_of_a_new_job(gateway, worker)

    await first.kill()
    nats_server.restart()
    await start_scheduler()

    assert await worker.next_order() == lost
    for order in (held, lost):
        await worker.do(order)
        assert names_of(await gateway.timeline(order.job)) == DONE_AT_ONCE


async def test_with_two_replicas_whoever_has_the_worker_after_the_restart_sends_again(
    start_scheduler: StartScheduler, gateway: Gateway, start_worker: StartWorker, nats_server: NatsServer
) -> None:
    for _ in range(2):
        await start_scheduler()
    await gateway.until_answered()
    workers = [await start_worker() for _ in range(6)]
    for worker in workers:
        worker.loses_orders = True
        await gateway.submit(node=worker.id, max_attempts=1)
    lost = [await lost_order(worker) for worker in workers]
    for worker in workers:
        worker.loses_orders = False

    nats_server.restart()

    assert [await worker.next_order() for worker in workers] == lost
    for worker, order in zip(workers, lost, strict=True):
        await worker.do(order)
        assert names_of(await gateway.timeline(order.job)) == DONE_AT_ONCE


async def test_orders_on_the_disk_of_an_older_grid_are_sent_again(
    start_scheduler: StartScheduler, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    first, admin = await start_scheduler(), await bus_for("admin")
    await gateway.until_answered()
    worker = await start_worker()
    worker.loses_orders = True
    await gateway.submit()
    delivered = await worker.lost.get()
    await first.kill()
    await made_again(admin, ON_FILE)
    await admin.client.publish(delivered.subject, delivered.data)
    await admin.flush()
    worker.loses_orders = False

    await start_scheduler()

    again = await worker.next_order()
    assert again == msgspec.json.decode(delivered.data, type=WorkOrder)
    assert (await admin.js_api("STREAM.INFO.WORK_NORMAL"))["config"]["storage"] == "memory"
    await worker.do(again)
    assert names_of(await gateway.timeline(again.job)) == DONE_AT_ONCE
