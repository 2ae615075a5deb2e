"""What breaks costs a delay and never a job: workers, orders and their consumers."""

from __future__ import annotations

import pytest

from gridloom_contract import registry, subjects
from gridloom_contract.events import JobRequeued
from gridloom_contract.jobs import CancelJob
from gridloom_contract.streams import WORK_STREAMS
from gridloom_contract.vocabulary import State
from gridloom_contract.work import Verdict
from gridloom_kit.consume import ensure_consumer
from gridloom_testing.plugin import OpenBus
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import Gateway, names_of

pytestmark = pytest.mark.usefixtures("empty_streams")


async def test_a_silent_workers_job_goes_to_another(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    silent = await start_worker()
    job = await gateway.submit()
    order = await silent.next_order()
    await silent.start(order)
    other = await start_worker()

    silent.is_silent = True
    again = await other.next_order()

    assert (again.job, again.attempt) == (job, 2)
    assert (await silent.end(order)).results == (Verdict.STALE,)
    await other.do(again)
    assert names_of(await gateway.timeline(job)) == [
        *("accepted", "assigned", "started", "requeued"),
        *("assigned", "started", "finished"),
    ]


async def test_a_worker_that_comes_back_is_welcome(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    await worker.next_order()

    worker.is_silent = True
    await gateway.until(job, State.QUEUED)
    worker.holding.clear()
    worker.is_silent = False

    again = await worker.next_order()
    assert (again.job, again.attempt) == (job, 2)


async def test_an_order_that_never_arrives_is_given_again_and_nobody_is_blamed(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    worker.loses_orders = True
    job = await gateway.submit(max_attempts=1)
    await worker.beaten(12)
    worker.loses_orders = False

    again = await worker.next_order()

    assert (again.job, again.attempt) == (job, 2)
    await worker.do(again)
    assert (await gateway.job(job)).state is State.SUCCEEDED
    reasons = [fact.reason for fact in await gateway.timeline(job) if hasattr(fact, "reason") and fact.reason]
    assert reasons == ["undelivered"]


async def test_a_job_that_kills_its_worker_comes_to_an_end(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit(max_attempts=2)
    for _ in range(2):
        await worker.next_order()
        await worker.reborn()

    failed = await gateway.until(job, State.FAILED)

    assert (failed.reason, failed.attempt) == ("lease_lost", 2)


async def test_a_canceled_order_is_taken_out_of_its_stream(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    worker = await start_worker()
    worker.loses_orders = True
    job = await gateway.submit()
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account="acc1"))

    admin = await bus_for("admin")
    left = [(await admin.js_api(f"STREAM.INFO.{stream}"))["state"]["messages"] for stream in WORK_STREAMS.values()]

    assert sum(left) == 0


async def test_consumers_from_when_workers_pulled_become_such_that_deliver(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    worker, admin = await start_worker(), await bus_for("admin")
    for lane, stream in WORK_STREAMS.items():
        await admin.js_api(f"CONSUMER.DELETE.{stream}.{worker.id}")
        await ensure_consumer(admin, stream, worker.id, [subjects.work_of(lane, worker.id)], max_waiting=16)

    await worker.hello()
    job = await gateway.submit()

    assert (await worker.next_order()).job == job
    assert [fact for fact in await gateway.timeline(job) if isinstance(fact, JobRequeued)] == []


async def test_consumers_that_vanish_are_made_again(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, bus_for: OpenBus
) -> None:
    worker = await start_worker()
    admin = await bus_for("admin")
    for stream in WORK_STREAMS.values():
        await admin.js_api(f"CONSUMER.DELETE.{stream}.{worker.id}")

    job = await gateway.submit()

    order = await worker.next_order()
    assert order.job == job
    assert [fact.reason for fact in await gateway.timeline(job) if isinstance(fact, JobRequeued)] == ["undelivered"]
