"""What becomes of a job when the bus, the scheduler or the worker goes away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridloom_contract.fault import FaultCode
from gridloom_contract.work import Verdict, WorkOrder
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer
from integration.worker.conftest import Employ, Launch, LocalWorker
from integration.worker.scripted import ScriptedScheduler, listening, text_of


def of(order: WorkOrder):
    """Whether a report is about this attempt."""
    return lambda report: (report.job, report.attempt) == (order.job, order.attempt)


async def spool_of(worker: LocalWorker, files: int) -> None:
    """Return once so many results are on the worker's disk."""
    folder = Path(worker.settings.spool_dir) / worker.id
    async with asyncio.timeout(10):
        while len(list(folder.glob("*.json"))) != files:
            await asyncio.sleep(0.01)


async def test_a_job_survives_the_restart_of_the_nats_server(
    employ: Employ, scheduler: ScriptedScheduler, nats_server: NatsServer
) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[tokens=30]] [[rate=30]]"))
    await scheduler.started.until(of(order))
    nats_server.restart()
    await scheduler.arrive_again()
    result = await scheduler.results.until(of(order))
    assert len(result.output.split()) == 30
    await scheduler.hellos.until(lambda _: len(scheduler.hellos) > 1)


async def test_a_follower_has_the_whole_text_after_a_restart_of_the_nats_server(
    employ: Employ, scheduler: ScriptedScheduler, bus_for: OpenBus, nats_server: NatsServer
) -> None:
    worker = await employ()
    order = worker.order("[[tokens=60]] [[rate=12]]")
    async with listening(await bus_for("gateway"), order.job) as chunks:
        await scheduler.give(order)
        await chunks.until(lambda chunk: chunk.offset > 0)
        nats_server.restart()
        await scheduler.arrive_again()
        result = await scheduler.results.until(of(order))
        after = await chunks.until(lambda chunk: chunk.offset == 0 and " " in chunk.text)
    assert text_of(chunks[chunks.index(after) :]) == result.output


async def test_orders_come_after_the_jetstream_store_was_wiped(
    employ: Employ, scheduler: ScriptedScheduler, nats_server: NatsServer
) -> None:
    worker = await employ()
    nats_server.wipe_store()
    await scheduler.arrive_again()
    await scheduler.control(worker.id, "hello")
    await scheduler.hellos.next(lambda hello: hello.worker == worker.id)
    order = await scheduler.give(worker.order())
    assert (await scheduler.results.until(of(order))).fault is None


async def test_a_result_waits_on_disk_while_the_scheduler_is_away(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[first=0.3]]"))
    await scheduler.started.until(of(order))
    await scheduler.leave()
    await spool_of(worker, files=1)
    await scheduler.arrive()
    assert (await scheduler.results.until(of(order))).fault is None
    await scheduler.heartbeats.next(lambda beat: not beat.holding)
    await spool_of(worker, files=0)


async def test_a_result_nobody_wants_any_more_is_dropped(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[first=0.1]]"))
    await scheduler.started.until(of(order))
    scheduler.verdict = lambda _: Verdict.STALE
    await scheduler.results.until(of(order))
    await scheduler.heartbeats.next(lambda beat: not beat.holding)
    await spool_of(worker, files=0)


async def test_a_worker_that_was_killed_sends_its_spool_at_the_next_start(
    launch: Launch, scheduler: ScriptedScheduler
) -> None:
    worker = await launch()
    await scheduler.heartbeats.until(lambda beat: beat.worker == worker.id)
    order = await scheduler.give(worker.order("[[first=0.3]]"))
    await scheduler.started.until(of(order))
    await scheduler.leave()
    await scheduler.heartbeats.until(lambda _: bool(worker.spooled()))
    await worker.kill()
    await scheduler.arrive()
    again = await launch(worker.id)
    assert (await scheduler.results.until(of(order))).fault is None
    assert again.process.returncode is None


@pytest.mark.parametrize("step", ["order_taken", "answered"])
async def test_a_worker_that_crashes_before_its_result_is_safe_does_not_claim_the_job_again(
    launch: Launch, scheduler: ScriptedScheduler, step: str
) -> None:
    worker = await launch(crash_at=f"worker.{step}")
    await scheduler.heartbeats.until(lambda beat: beat.worker == worker.id)
    order = await scheduler.give(worker.order("[[first=0.1]]"))
    assert (await worker.ended())[0] == 137
    await launch(worker.id)
    beat = await scheduler.heartbeats.next(lambda beat: beat.worker == worker.id)
    assert beat.holding == ()
    again = await scheduler.give(worker.order(job=order.job, attempt=2), lane="high")
    assert (await scheduler.results.until(of(again))).fault is None
    assert {result.attempt for result in scheduler.results} == {2}


@pytest.mark.parametrize("step", ["spooled", "confirmed"])
async def test_a_worker_that_crashes_after_its_result_is_safe_reports_it_in_its_next_life(
    launch: Launch, scheduler: ScriptedScheduler, step: str
) -> None:
    worker = await launch(crash_at=f"worker.{step}")
    await scheduler.heartbeats.until(lambda beat: beat.worker == worker.id)
    order = await scheduler.give(worker.order("[[first=0.1]]"))
    assert (await worker.ended())[0] == 137
    before = len(scheduler.results)
    again = await launch(worker.id)
    await scheduler.results.until(lambda _: len(scheduler.results) > before)
    assert {result.job for result in scheduler.results} == {order.job}
    await scheduler.heartbeats.next(lambda beat: beat.worker == worker.id and not beat.holding)
    assert again.process.returncode is None


async def test_draining_hands_back_what_waits_and_finishes_what_runs(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ(slots=1)
    running = await scheduler.give(worker.order("[[first=0.5]]"))
    await scheduler.started.until(of(running))
    waiting = await scheduler.give(worker.order())
    await scheduler.heartbeats.until(lambda beat: len(beat.holding) == 2)
    worker.stop.set()
    handed_back = await scheduler.results.until(of(waiting))
    finished = await scheduler.results.until(of(running))
    assert (handed_back.refused, handed_back.fault.retryable) == (True, True)
    assert (finished.refused, finished.fault) == (False, None)
    await asyncio.wait_for(worker.ended.wait(), 5)
    assert scheduler.heartbeats[-1].draining


async def test_a_second_signal_breaks_off_what_runs_and_hands_it_back(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[hang]]"))
    await scheduler.started.until(of(order))
    worker.stop.set()
    await scheduler.heartbeats.next(lambda beat: beat.draining)
    worker.hurry.set()
    result = await scheduler.results.until(of(order))
    assert (result.fault.code, result.fault.retryable) == (FaultCode.WORKER_LOST, True)
    await asyncio.wait_for(worker.ended.wait(), 5)


async def test_a_job_that_outlasts_the_grace_is_handed_back(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ(stop_grace_seconds=4.2)
    order = await scheduler.give(worker.order("[[hang]]"))
    await scheduler.started.until(of(order))
    worker.stop.set()
    result = await scheduler.results.until(of(order), within_seconds=3.0)
    assert (result.fault.code, result.fault.retryable) == (FaultCode.WORKER_LOST, True)


async def test_a_drained_worker_refuses_until_it_is_resumed(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    await scheduler.control(worker.id, "drain")
    await scheduler.heartbeats.next(lambda beat: beat.draining and beat.free_slots == 0)
    refused = await scheduler.give(worker.order())
    assert (await scheduler.results.until(of(refused))).refused
    await scheduler.control(worker.id, "resume")
    await scheduler.heartbeats.next(lambda beat: not beat.draining and beat.free_slots == 2)
    order = await scheduler.give(worker.order())
    assert (await scheduler.results.until(of(order))).fault is None


async def test_a_hello_is_repeated_until_somebody_welcomes(launch: Launch, scheduler: ScriptedScheduler) -> None:
    await scheduler.leave()
    worker = await launch()
    await worker.said("worker.not_welcomed")
    await scheduler.arrive()
    assert (await scheduler.hellos.until(lambda hello: hello.worker == worker.id)).slots == 4


async def test_a_hello_is_said_on_request(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    await scheduler.control(worker.id, "hello")
    assert (await scheduler.hellos.next(lambda _: True)).session == scheduler.hellos[0].session


@pytest.mark.parametrize("items", [3, 30])
async def test_results_that_gathered_while_the_scheduler_was_away_all_arrive(
    employ: Employ, scheduler: ScriptedScheduler, items: int
) -> None:
    worker = await employ(slots=items)
    orders = [await scheduler.give(worker.order("[[first=0.3]]")) for _ in range(items)]
    await scheduler.started.until(lambda _: len(scheduler.started) == items)
    await scheduler.leave()
    await spool_of(worker, files=items)
    await scheduler.arrive()
    await scheduler.results.until(lambda _: len(scheduler.results) >= items)
    assert {result.job for result in scheduler.results} == {order.job for order in orders}
