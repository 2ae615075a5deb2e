"""Tasks and outputs that are too large for the bus: fetched, uploaded, and never lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from gridloom_contract.fault import FaultCode
from gridloom_contract.jobs import MAX_INLINE_BYTES, Task
from gridloom_contract.work import ResultReport, Verdict, WorkOrder, WorkReport
from gridloom_domain.errors import Conflict, TooLarge
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import Infra, S3Server
from integration.worker.conftest import Employ, Launch
from integration.worker.objects import ObjectShelf, open_shelf
from integration.worker.scripted import ScriptedScheduler, listening, text_of
from integration.worker.test_faults import of, spool_of

LARGE_ANSWER = "[[tokens=40]] [[repeat=4000]]"
"""About a megabyte."""


@pytest.fixture(scope="module")
def own_s3(infra: Infra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server of this module alone: it may be broken."""
    server = infra.s3(tmp_path_factory.mktemp("s3").name)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def shelf(own_s3: S3Server, scheduler: ScriptedScheduler) -> AsyncIterator[ObjectShelf]:
    """The object store, from which the scheduler gives slots."""
    async with open_shelf(own_s3) as shelf:
        scheduler.slot = shelf.slot
        yield shelf
    own_s3.start()


async def by_url(shelf: ObjectShelf, order: WorkOrder, task: Task) -> WorkOrder:
    """Return the order with this task by reference."""
    url = await shelf.store(f"task-{order.job}", msgspec.json.encode(task))
    return msgspec.structs.replace(order, task=Task(), task_url=url)


async def uploaded(shelf: ObjectShelf, result: ResultReport) -> str:
    """Return the text that a result refers to."""
    assert (result.fault, result.output) == (None, None)
    return (await shelf.content(result.output_ref)).decode()


async def test_a_large_task_is_fetched(employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf) -> None:
    worker = await employ()
    task = Task(prompt="[[tokens=3]] " + "word " * 400_000)

    order = await scheduler.give(await by_url(shelf, worker.order(), task))

    result = await scheduler.results.until(of(order))
    assert (result.fault, len(result.output.split()), result.usage.tokens_in) == (None, 3, 400_001)


async def test_a_large_output_is_uploaded_and_reported_by_reference(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf, bus_for: OpenBus
) -> None:
    worker = await employ()
    order = worker.order(LARGE_ANSWER)
    async with listening(await bus_for("gateway"), order.job) as chunks:
        await scheduler.give(order)
        result = await scheduler.results.until(of(order))
        text = await uploaded(shelf, result)
        await chunks.until(lambda chunk: chunk.offset + len(chunk.text) == len(text))

    assert len(text.split()) == result.usage.tokens_out == 160_000
    assert len(text) > 3 * MAX_INLINE_BYTES
    assert text_of(chunks) == text
    assert [question.size_bytes for question in scheduler.asked] == [len(text)]
    await spool_of(worker, files=0)


async def test_an_output_waits_on_the_disk_while_the_object_store_is_down(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf, own_s3: S3Server
) -> None:
    worker = await employ()
    own_s3.kill()
    order = await scheduler.give(worker.order(LARGE_ANSWER))
    await scheduler.asked.until(of(order))
    await spool_of(worker, files=1)

    small = await scheduler.give(worker.order("[[tokens=2]]"))
    assert (await scheduler.results.until(of(small))).fault is None
    beat = await scheduler.heartbeats.next(lambda beat: beat.worker == worker.id)
    assert order.job in {held.job for held in beat.holding}
    own_s3.start()

    result = await scheduler.results.until(of(order))
    assert len((await uploaded(shelf, result)).split()) == 160_000
    await spool_of(worker, files=0)


async def test_an_upload_that_breaks_off_in_the_middle_is_made_again(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf, own_s3: S3Server
) -> None:
    worker = await employ()
    with own_s3.suspended():
        order = await scheduler.give(worker.order("[[tokens=40]] [[repeat=40000]]"))
        await scheduler.asked.until(of(order))
        await asyncio.sleep(0.2)  # as much as the line takes is under way
        own_s3.kill()
    own_s3.start()

    result = await scheduler.results.until(of(order))
    assert len((await uploaded(shelf, result)).split()) == 1_600_000


async def test_a_result_that_cannot_be_judged_yet_is_reported_again(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    worker = await employ()
    scheduler.verdict = lambda report: Verdict.LATER if isinstance(report, ResultReport) else Verdict.RECORDED
    order = await scheduler.give(worker.order(LARGE_ANSWER))
    await scheduler.results.until(of(order))
    again = await scheduler.results.next(of(order))
    await spool_of(worker, files=1)

    scheduler.verdict = lambda _: Verdict.RECORDED

    assert again.output_ref is not None
    await spool_of(worker, files=0)


async def test_a_result_that_is_long_in_judging_holds_up_no_other(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    is_seen, may_go = asyncio.Event(), asyncio.Event()

    async def look(report: WorkReport) -> None:
        if any(result.output_ref for result in report.results):
            is_seen.set()
            await may_go.wait()

    worker = await employ()
    scheduler.before_receipt = look
    large = await scheduler.give(worker.order(LARGE_ANSWER))
    await is_seen.wait()
    small = await scheduler.give(worker.order("[[tokens=2]]"))

    assert (await scheduler.results.until(of(small), within_seconds=2)).fault is None
    assert not any(map(of(large), scheduler.results))
    may_go.set()
    await scheduler.results.until(of(large))


@pytest.mark.parametrize("step", ["spooled_large", "uploaded"])
async def test_a_large_output_survives_the_worker_at_every_step(
    launch: Launch, scheduler: ScriptedScheduler, shelf: ObjectShelf, step: str
) -> None:
    worker = await launch(crash_at=f"worker.{step}")
    await scheduler.heartbeats.until(lambda beat: beat.worker == worker.id)
    order = await scheduler.give(worker.order(LARGE_ANSWER))
    assert (await worker.ended())[0] == 137
    assert not any(map(of(order), scheduler.results))

    await launch(worker.id)

    result = await scheduler.results.until(of(order))
    assert len((await uploaded(shelf, result)).split()) == 160_000


async def test_an_output_nobody_wants_any_more_is_dropped(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    async def refuse(_question: object) -> None:
        raise Conflict("the lease is over")

    worker = await employ()
    scheduler.slot = refuse
    order = await scheduler.give(worker.order(LARGE_ANSWER))

    await scheduler.asked.until(of(order))
    await scheduler.heartbeats.next(lambda beat: beat.worker == worker.id and not beat.holding)

    assert not any(map(of(order), scheduler.results))
    await spool_of(worker, files=0)


async def test_an_output_that_the_grid_does_not_keep_fails_the_job(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    async def refuse(_question: object) -> None:
        raise TooLarge("an object may have ten bytes")

    worker = await employ()
    scheduler.slot = refuse
    order = await scheduler.give(worker.order(LARGE_ANSWER))

    result = await scheduler.results.until(of(order))

    assert (result.fault.code, result.output_ref) == (FaultCode.TOO_LARGE, None)
    await spool_of(worker, files=0)


async def test_an_answer_without_end_is_broken_off(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    worker = await employ(max_output_bytes=1_000_000)
    order = await scheduler.give(worker.order("[[tokens=1000000]] [[repeat=1000]]"))

    result = await scheduler.results.until(of(order))

    assert result.fault.code is FaultCode.TOO_LARGE
    assert scheduler.asked == []


async def test_a_task_that_is_too_large_or_gone_is_a_failure(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf
) -> None:
    worker = await employ(max_task_bytes=1_000_000)
    huge = await scheduler.give(await by_url(shelf, worker.order(), Task(prompt="x" * 1_000_001)))
    gone = await scheduler.give(worker.order(task_url=await shelf.url_of("nothing")))
    strange = worker.order(task_url=await shelf.store("strange", b"[1, 2"))
    await scheduler.give(strange)

    faults = [(await scheduler.results.until(of(order))).fault for order in (huge, gone, strange)]

    assert [fault.code for fault in faults] == [FaultCode.TOO_LARGE, FaultCode.UNAVAILABLE, FaultCode.INTERNAL]
    assert [fault.retryable for fault in faults] == [False, True, True]
    assert not any("http" in fault.message for fault in faults)


async def test_a_task_is_tried_for_again_while_the_object_store_is_down(
    employ: Employ, scheduler: ScriptedScheduler, shelf: ObjectShelf, own_s3: S3Server
) -> None:
    worker = await employ()
    order = await by_url(shelf, worker.order(), Task(prompt="[[tokens=3]]"))
    own_s3.kill()
    await scheduler.give(order)
    await scheduler.started.until(of(order))

    own_s3.start()

    assert (await scheduler.results.until(of(order))).fault is None
