"""The outbox: what is posted goes out in order, and what arrived is noted up to the first gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from gridloom_contract.base import Message
from gridloom_contract.events import JobReleased
from gridloom_contract.work import WorkOrder
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.outbox import Fact, Mark, Outbox
from gridloom_scheduler.outbox import fact_message, order_message
from gridloom_testing.builders import an_order
from unit.scheduler.records import NOW


class Recorder:
    """Takes everything but the messages it is told to lose."""

    def __init__(self, *lost: str) -> None:
        self.lost = lost
        self.sent: list[str] = []
        self.batches: list[list[str]] = []
        self.has_some = asyncio.Event()
        self.marks: list[Mark] = []
        self.orders: list[tuple[str, bool]] = []

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        self.sent += [item.message_id for item in items]
        self.batches.append([item.message_id for item in items])
        self.has_some.set()
        return [item.message_id not in self.lost for item in items]

    def on_order(self, order: Message, stored: bool) -> None:
        assert isinstance(order, WorkOrder)
        self.orders.append((order.job, stored))

    async def mark_published(self, marks: Iterable[Mark]) -> None:
        self.marks += list(marks)


def fact(job: str, seq: int) -> Fact:
    """Some fact."""
    return fact_message(JobReleased(job=job, account="acc1", seq=seq, at=NOW, id="f" * 32, reason="backoff"))


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[Outbox]:
    """Run an outbox for the time of the block; then what is posted still goes out."""
    outbox, stop = Outbox(recorder, recorder, recorder.on_order), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.run(stop))
        yield outbox
        stop.set()


async def outcome(recorder: Recorder, *facts: Fact) -> None:
    """Post facts one by one and stop."""
    async with running(recorder) as outbox:
        for one in facts:
            outbox.post([one])


async def test_what_is_posted_before_the_stop_goes_out_in_order() -> None:
    recorder = Recorder()

    await outcome(recorder, fact("a", 1), fact("b", 1), fact("a", 2))

    assert recorder.sent == ["a:1", "b:1", "a:2"]


async def test_one_mark_a_job_covers_all_that_arrived() -> None:
    recorder = Recorder()

    await outcome(recorder, fact("a", 3), fact("a", 4), fact("a", 5))

    assert recorder.marks == [("a", 2, 5)]


async def test_nothing_after_a_gap_is_marked() -> None:
    recorder = Recorder("a:2")

    await outcome(recorder, fact("a", 1), fact("a", 2), fact("a", 3))

    assert recorder.marks == [("a", 0, 1)]


async def test_work_goes_before_the_facts_of_jobs_that_wait_and_one_jobs_facts_stay_in_order() -> None:
    recorder = Recorder("b:1")
    outbox, stop = Outbox(recorder, recorder, recorder.on_order), asyncio.Event()
    order = an_order(job="b", attempt=1)

    outbox.post_later([fact("a", 1), fact("b", 1), fact("c", 1)])
    outbox.post([fact("b", 2)], [order_message("work.normal.m.w.b", order)])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.run(stop))
        stop.set()

    assert recorder.sent == ["b:1", "b:2", "b:1", "a:1", "c:1"]
    assert recorder.orders == [("b", False)]


async def test_what_can_wait_goes_out_together_soon() -> None:
    recorder = Recorder()

    async with running(recorder) as outbox:
        outbox.post_later([fact("a", 1)])
        await asyncio.sleep(0)
        outbox.post_later([fact("b", 1), fact("a", 2)])
        await recorder.has_some.wait()

    assert recorder.batches == [["a:1", "a:2", "b:1"]]


async def test_what_can_wait_less_takes_along_what_can_wait_longer() -> None:
    recorder = Recorder()

    async with running(recorder) as outbox:
        outbox.post_later([fact("a", 1)], within_seconds=3600)
        outbox.post_later([fact("b", 1)])
        outbox.post_later([fact("c", 1)], within_seconds=3600)
        await recorder.has_some.wait()

    assert recorder.batches == [["a:1", "b:1", "c:1"]]


async def test_what_cannot_wait_takes_nothing_along_that_can() -> None:
    recorder = Recorder()

    async with running(recorder) as outbox:
        outbox.post_later([fact("a", 1)])
        outbox.post([fact("b", 1)])
        await recorder.has_some.wait()

    assert recorder.batches == [["b:1"], ["a:1"]]


async def test_a_full_batch_of_what_can_wait_does_not_wait() -> None:
    recorder = Recorder()

    async with running(recorder) as outbox:
        outbox.post_later(fact(f"job{number}", 1) for number in range(256))
        turns = 0
        while not recorder.has_some.is_set():
            await asyncio.sleep(0)
            turns += 1

    assert len(recorder.sent) == 256
    assert turns < 10
