"""A scheduler dies, or all of JetStream: the next one goes on where it was, and no job is lost or done twice."""

from __future__ import annotations

import pytest

from gridloom_contract.vocabulary import State
from gridloom_contract.work import Verdict
from gridloom_kit.mongo import Database
from gridloom_testing.builders import a_submission
from gridloom_testing.checker import assert_all_ended_once
from gridloom_testing.servers import NatsServer
from integration.scheduler.conftest import Replica, StartScheduler, StartWorker
from integration.scheduler.scripted import Gateway, toiling

pytestmark = pytest.mark.usefixtures("empty_streams")


async def test_jobs_in_flight_outlive_the_scheduler(
    start_scheduler: StartScheduler,
    gateway: Gateway,
    start_worker: StartWorker,
    database: Database,
    nats_server: NatsServer,
) -> None:
    first = await start_scheduler()
    await gateway.until_answered()
    worker = await start_worker(slots=4)
    jobs = [a_submission() for _ in range(60)]
    await gateway.try_submit(*jobs)
    held = [await worker.next_order() for _ in range(4)]

    await first.kill()
    await start_scheduler()
    results = [await worker.end(order) for order in held]

    assert [receipt.results for receipt in results] == [(Verdict.RECORDED,)] * 4
    async with toiling(worker):
        await assert_all_ended_once(database, nats_server, [job.job for job in jobs])


async def test_two_replicas_share_the_fleet_and_one_takes_over_from_the_other(
    start_scheduler: StartScheduler,
    gateway: Gateway,
    start_worker: StartWorker,
    database: Database,
    nats_server: NatsServer,
) -> None:
    first, _second = await start_scheduler(), await start_scheduler()
    await gateway.until_answered()
    workers = [await start_worker(slots=2) for _ in range(6)]
    before = [a_submission() for _ in range(40)]
    after = [a_submission(node=worker.id) for worker in workers for _ in range(5)]
    async with toiling(*workers):
        await gateway.try_submit(*before)
        await assert_all_ended_once(database, nats_server, [job.job for job in before])

        await first.kill()
        await gateway.insist(*after)

        await assert_all_ended_once(database, nats_server, [job.job for job in before + after], within_seconds=10)


async def test_a_wiped_jetstream_store_costs_seconds_and_no_job(
    scheduler: Replica,
    gateway: Gateway,
    start_worker: StartWorker,
    database: Database,
    nats_server: NatsServer,
) -> None:
    worker = await start_worker(slots=2)
    worker.loses_orders = True
    jobs = [a_submission() for _ in range(20)]
    await gateway.try_submit(*jobs)

    nats_server.wipe_store()
    worker.loses_orders = False

    async with toiling(worker):
        await assert_all_ended_once(database, nats_server, [job.job for job in jobs], within_seconds=30, was_wiped=True)


async def test_facts_that_a_crash_kept_back_are_published_later(
    scheduler: Replica,
    gateway: Gateway,
    start_worker: StartWorker,
    database: Database,
    nats_server: NatsServer,
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    await worker.do(await worker.next_order())
    await assert_all_ended_once(database, nats_server, [job])
    # As if the scheduler had died between the write and the publication of the last two facts.
    await database["jobs"].update_one({"_id": job}, [{"$set": {"published": 2, "unpublished_since": "$created_at"}}])

    await assert_all_ended_once(database, nats_server, [job])


async def test_a_scheduler_that_stops_in_order_hands_over_at_once(
    start_scheduler: StartScheduler, gateway: Gateway, start_worker: StartWorker
) -> None:
    first = await start_scheduler()
    await gateway.until_answered()
    worker = await start_worker()
    await start_scheduler()

    await first.stop()
    await gateway.until_answered()
    job = await gateway.submit()

    order = await worker.next_order()
    assert order.job == job
    await worker.do(order)
    assert (await gateway.job(job)).state is State.SUCCEEDED
