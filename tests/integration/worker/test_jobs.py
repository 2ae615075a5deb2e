"""What becomes of an order: started, streamed, answered, refused, stopped."""

from __future__ import annotations

import asyncio

from gridloom_contract.fault import FaultCode
from gridloom_contract.work import Verdict, WorkOrder
from gridloom_testing.builders import a_worker_id, an_order
from gridloom_testing.plugin import OpenBus
from integration.worker.conftest import Employ
from integration.worker.scripted import ScriptedScheduler, listening, text_of


def of(order: WorkOrder):
    """Whether a report is about this attempt."""
    return lambda report: (report.job, report.attempt) == (order.job, order.attempt)


async def test_an_order_is_started_streamed_and_answered(
    employ: Employ, scheduler: ScriptedScheduler, bus_for: OpenBus
) -> None:
    worker = await employ()
    order = worker.order("[[tokens=20]] [[rate=200]]")
    async with listening(await bus_for("gateway"), order.job) as chunks:
        await scheduler.give(order)
        result = await scheduler.results.until(of(order))
        await chunks.until(lambda _: text_of(chunks) == result.output)
    start = await scheduler.started.until(of(order))
    assert result.fault is None
    assert result.usage.tokens_out == 20
    assert (start.token, result.token) == (order.token, order.token)


async def test_the_first_token_is_streamed_before_the_second_is_made(
    employ: Employ, scheduler: ScriptedScheduler, bus_for: OpenBus
) -> None:
    worker = await employ()
    order = worker.order("[[tokens=2]] [[rate=1]]")
    async with listening(await bus_for("gateway"), order.job) as chunks:
        await scheduler.give(order)
        first = await chunks.until(lambda _: True, within_seconds=0.9)
    assert " " not in first.text


async def test_an_order_is_acknowledged_while_it_still_runs(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[hang]]"))
    await scheduler.started.until(of(order))
    await scheduler.nothing_is_left_for(worker.id)


async def test_lanes_are_taken_in_order(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ(slots=1)
    running = await scheduler.give(worker.order("[[first=0.5]]"))
    await scheduler.started.until(of(running))
    low = await scheduler.give(worker.order(), lane="low")
    await scheduler.heartbeats.until(lambda beat: low.job in {each.job for each in beat.holding})
    high = await scheduler.give(worker.order(), lane="high")
    await scheduler.results.until(of(low))
    assert [result.job for result in scheduler.results] == [running.job, high.job, low.job]


async def test_everything_in_hand_is_in_the_heartbeats(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ(slots=1)
    orders = [await scheduler.give(worker.order("[[hang]]")) for _ in range(2)]
    beat = await scheduler.heartbeats.until(lambda beat: len(beat.holding) == 2)
    assert {each.job for each in beat.holding} == {order.job for order in orders}
    assert beat.free_slots == 0


async def test_speeds_are_measured_and_told(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    await scheduler.give(worker.order("[[tokens=20]] [[rate=100]]"))
    beat = await scheduler.heartbeats.until(lambda beat: bool(beat.speeds))
    assert 50 < beat.speeds[0].tokens_per_second < 200
    assert 0.1 < beat.speeds[0].job_seconds < 2


async def test_a_stop_frees_the_slot_within_a_second_and_nothing_is_reported(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ(slots=1)
    order = await scheduler.give(worker.order("[[tokens=5]] [[hang]]"))
    await scheduler.started.until(of(order))
    await scheduler.stop(order)
    await scheduler.heartbeats.next(lambda beat: not beat.holding and beat.free_slots == 1, within_seconds=1.0)
    assert not scheduler.results


async def test_a_stop_takes_a_waiting_order_out(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ(slots=1)
    running = await scheduler.give(worker.order("[[hang]]"))
    waiting = await scheduler.give(worker.order())
    await scheduler.heartbeats.until(lambda beat: len(beat.holding) == 2)
    await scheduler.stop(waiting)
    beat = await scheduler.heartbeats.next(lambda beat: len(beat.holding) == 1)
    assert beat.holding[0].job == running.job


async def test_a_start_that_is_stale_ends_the_attempt(employ: Employ, scheduler: ScriptedScheduler) -> None:
    scheduler.verdict = lambda _: Verdict.STALE
    worker = await employ()
    order = await scheduler.give(worker.order("[[hang]]"))
    await scheduler.started.until(of(order))
    await scheduler.heartbeats.next(lambda beat: not beat.holding)
    assert not scheduler.results


async def test_a_later_attempt_of_the_same_job_replaces_the_earlier(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ()
    first = await scheduler.give(worker.order("[[hang]]"))
    await scheduler.started.until(of(first))
    second = await scheduler.give(worker.order(job=first.job, attempt=2))
    await scheduler.results.until(of(second))
    await scheduler.heartbeats.next(lambda beat: not beat.holding)
    assert [result.attempt for result in scheduler.results] == [2]


async def test_the_same_attempt_delivered_again_runs_once(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order())
    await scheduler.results.until(of(order))
    await scheduler.give(order, lane="high")  # another subject: as if the acknowledgement had been lost
    after = await scheduler.give(worker.order(), lane="high")
    await scheduler.results.until(of(after))
    assert [result.job for result in scheduler.results] == [order.job, after.job]


async def test_an_order_that_comes_again_while_the_worker_drains_is_not_handed_back(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[first=0.5]]"))
    await scheduler.started.until(of(order))
    await scheduler.control(worker.id, "drain")
    await scheduler.heartbeats.next(lambda beat: beat.draining)
    await scheduler.give(order, lane="high")
    result = await scheduler.results.until(of(order))
    await scheduler.heartbeats.next(lambda beat: not beat.holding)
    assert (result.refused, result.fault, len(scheduler.results)) == (False, None, 1)


async def test_an_order_for_another_worker_is_never_run(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    foreign = an_order(worker=a_worker_id())
    await scheduler.give(foreign, to=worker.id)
    mine = await scheduler.give(worker.order())
    await scheduler.results.until(of(mine))
    await scheduler.nothing_is_left_for(worker.id)
    assert {start.job for start in scheduler.started} == {mine.job}


async def test_a_failure_of_the_engine_is_reported_as_retryable(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[tokens=3]] [[fail]]"))
    result = await scheduler.results.until(of(order))
    assert (result.fault.code, result.fault.retryable, result.output) == (FaultCode.UPSTREAM, True, None)


async def test_a_mistake_of_the_caller_is_reported_as_final(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[reject]]"))
    result = await scheduler.results.until(of(order))
    assert (result.fault.code, result.fault.retryable) == (FaultCode.INVALID, False)


async def test_an_attempt_without_an_answer_times_out_by_the_workers_own_clock(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ()
    order = await scheduler.give(worker.order("[[hang]]", timeout_seconds=0.2))
    result = await scheduler.results.until(of(order))
    assert result.fault.code is FaultCode.REQUEST_TIMEOUT


async def test_an_answer_beyond_the_limit_is_too_large(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ(max_output_bytes=1_000_000)
    order = await scheduler.give(worker.order("[[tokens=400000]]"))
    result = await scheduler.results.until(of(order))
    assert (result.fault.code, result.fault.retryable) == (FaultCode.TOO_LARGE, False)
    assert "1000000" in result.fault.message


async def test_an_order_for_a_model_that_is_not_served_is_handed_back(
    employ: Employ, scheduler: ScriptedScheduler
) -> None:
    worker = await employ(models=("synthetic", "other"))
    await scheduler.give(worker.order(model="synthetic"))
    order = worker.order(model="gone")
    await scheduler.give(order, as_model="other")
    result = await scheduler.results.until(of(order))
    assert result.refused
    assert result.fault.retryable


async def test_many_at_once_are_all_answered(employ: Employ, scheduler: ScriptedScheduler) -> None:
    worker = await employ(slots=8)
    orders = [worker.order() for _ in range(200)]
    await asyncio.gather(*map(scheduler.give, orders))
    await scheduler.results.until(lambda _: len(scheduler.results) == len(orders))
    assert {result.job for result in scheduler.results} == {order.job for order in orders}
