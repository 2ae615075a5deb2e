"""Orders that are sent again: which, when, and only as long as nothing else has happened to their jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from gridloom_contract.work import Holding, WorkerHeartbeat, WorkerHello, WorkOrder
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler.claims import order_for
from gridloom_scheduler.fleet import Fleet, Seat, Terms
from gridloom_scheduler.record import AttachedFile, JobRecord, Lease, WorkerRecord
from gridloom_scheduler.repeats import Repeats
from gridloom_scheduler.rules.liveness import Loss, loss_of_unsent, may_repeat
from gridloom_scheduler.streamwatch import Life, has_forgotten
from gridloom_testing.builders import an_offer
from unit.scheduler.records import NOW, WORKER, a_claimed_record, a_record, a_running_record, changed

ANOTHER = Lease(worker=WORKER, token="6" * 32, session="s1")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        """The same time of day for ever."""
        return NOW

    def monotonic(self) -> float:
        """The seconds, a little later each time."""
        self.seconds += 0.001
        return self.seconds


class Jobs:
    """What is stored; `meanwhile` happens while somebody reads it."""

    def __init__(self, *stored: JobRecord) -> None:
        self.stored = {job.id: job for job in stored}
        self.meanwhile: list[Any] = []
        self.errors: list[Exception] = []
        self.asked = 0

    async def claimed(self, jobs: Collection[str]) -> list[JobRecord]:
        """Answer as the store does."""
        self.asked += 1
        if self.errors:
            raise self.errors.pop()
        found = [self.stored[job] for job in jobs if job in self.stored]
        for happens in self.meanwhile:
            happens()
        return found


class Line:
    """A connection to a JetStream that `takes` orders or does not."""

    is_connected = True

    def __init__(self) -> None:
        self.takes = True
        self.sent: asyncio.Queue[Outgoing] = asyncio.Queue()

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        """Take them or not."""
        for item in items:
            self.sent.put_nowait(item)
        return [self.takes] * len(items)


class Scene:
    """A worker with its jobs, as this replica knows them, and as they are stored."""

    def __init__(self, *jobs: JobRecord) -> None:
        self.fleet = Fleet(Clock(), Terms())
        self.seat: Seat = self.fleet.adopt(
            WorkerRecord(id=WORKER, name="box", shard=0, verifier="", created_at=NOW, slots=4)
        )
        self.jobs, self.line = Jobs(*jobs), Line()
        self.known = jobs

    def claim(self) -> None:
        """Give the worker the jobs, as the assigner does."""
        for job in self.known:
            self.fleet.reserve(job)
            self.fleet.board(job)
            self.fleet.order_went(order_of(job), stored=True)

    def greet(self) -> None:
        """The worker says hello."""
        hello = WorkerHello(worker=WORKER, session="s1", slots=4, offers=(an_offer(),), version="1", engine="e")
        self.fleet.introduce(self.seat, hello)

    def beat(self, *holding: JobRecord) -> None:
        """The worker says what it has, and that is what the reception does."""
        held = tuple(Holding(job=job.id, attempt=job.attempt) for job in holding)
        heartbeat = WorkerHeartbeat(worker=WORKER, session="s1", free_slots=1, holding=held)
        self.seat.hear(heartbeat, self.fleet.now())
        self.fleet.doubt.set()

    @asynccontextmanager
    async def repeating(self) -> AsyncIterator[None]:
        """Send orders again while the block runs."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Repeats(self.fleet, self.jobs, self.line).run(stop))
            yield
            stop.set()

    async def sent(self) -> Outgoing:
        """The next order that is sent."""
        return await asyncio.wait_for(self.line.sent.get(), 5)

    async def nothing_is_sent(self) -> None:
        """Assert that whoever sends has come to rest without sending anything."""
        self.fleet.doubt.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert not self.fleet.doubt.is_set()
        assert self.line.sent.empty()


def given(*jobs: JobRecord) -> Scene:
    """A worker that has said hello and was given these jobs."""
    scene = Scene(*jobs)
    scene.greet()
    scene.claim()
    return scene


def order_of(job: JobRecord) -> WorkOrder:
    """The order for a job."""
    order = order_for(job).message
    assert isinstance(order, WorkOrder)
    return order


@pytest.mark.parametrize(
    ("job", "session", "expected"),
    [
        (a_claimed_record(), "s1", True),
        (a_claimed_record(), "s2", False),
        (a_claimed_record(), None, False),
        (a_running_record(), "s1", False),
        (a_record(), "s1", False),
        (a_claimed_record(task_ref="t"), "s1", False),
        (a_claimed_record(attachments=(AttachedFile(ref="f", content_type="image/png"),)), "s1", False),
    ],
)
def test_only_what_the_same_process_has_not_started_and_needs_no_urls_is_repeated(
    job: JobRecord, session: str | None, *, expected: bool
) -> None:
    assert may_repeat(job, session) is expected


@pytest.mark.parametrize(
    ("is_repeatable", "seconds", "expected"),
    [(True, 0.0, Loss.NONE), (True, 5.0, Loss.NONE), (True, 5.1, Loss.UNDELIVERED), (False, 0.0, Loss.UNDELIVERED)],
)
def test_an_order_that_nobody_takes_is_taken_back_after_a_while(
    seconds: float, expected: Loss, *, is_repeatable: bool
) -> None:
    assert loss_of_unsent(is_repeatable=is_repeatable, missing_seconds=seconds) is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, Life("monday", 0), False),
        (Life("monday", 7), None, False),
        (Life("monday", 7), Life("monday", 7), False),
        (Life("monday", 7), Life("monday", 9), False),
        (Life("monday", 7), Life("tuesday", 9), True),
        (Life("monday", 7), Life("monday", 0), True),
    ],
)
def test_a_stream_has_forgotten_if_it_is_another_or_has_had_less(
    before: Life | None, now: Life | None, *, expected: bool
) -> None:
    assert has_forgotten(before, now) is expected


async def test_what_vanished_is_sent_again_as_it_was_once_the_worker_does_not_list_it() -> None:
    lost, held = a_claimed_record(lane="high"), a_claimed_record(lane="high")
    scene = Scene(lost, held)
    scene.greet()
    scene.claim()
    scene.fleet.orders_vanished({"high"})
    async with scene.repeating():
        await scene.nothing_is_sent()
        scene.beat(held)
        assert await scene.sent() == order_for(lost)
        scene.beat(held)
        await scene.nothing_is_sent()


async def test_what_is_in_other_lanes_or_has_started_is_not_doubted() -> None:
    scene = Scene(a_claimed_record(lane="low"), a_running_record(lane="high"))
    scene.greet()
    scene.claim()
    scene.fleet.orders_vanished({"high"})
    async with scene.repeating():
        scene.beat()
        await scene.nothing_is_sent()
    assert scene.jobs.asked == 0


async def test_what_is_found_in_the_database_is_doubted_until_the_worker_lists_it() -> None:
    job = a_claimed_record()
    scene = Scene(job)
    scene.fleet.board(job)
    async with scene.repeating():
        scene.greet()
        await scene.nothing_is_sent()
        scene.beat(job)
        await scene.nothing_is_sent()
        scene.beat()
        await scene.nothing_is_sent()
    assert scene.jobs.asked == 0


async def test_an_order_that_was_not_taken_is_sent_until_it_is() -> None:
    job = a_claimed_record()
    scene = given(job)
    scene.line.takes = False
    async with scene.repeating():
        scene.fleet.order_went(order_of(job), stored=False)
        first = scene.seat.flights[job.id].doubted_at
        await scene.sent()
        await scene.sent()
        assert scene.seat.flights[job.id].doubted_at == first
        scene.line.takes = True
        assert await scene.sent() == order_for(job)
        await scene.nothing_is_sent()
    assert not scene.seat.flights[job.id].is_doubtful


async def test_an_order_that_was_not_taken_while_its_job_was_being_stored_is_sent_once_that_is_done() -> None:
    job = a_claimed_record()
    scene = Scene(job)
    scene.greet()
    async with scene.repeating():
        scene.fleet.reserve(job)
        scene.fleet.order_went(order_of(job), stored=False)
        await scene.nothing_is_sent()
        scene.fleet.board(job)
        assert await scene.sent() == order_for(job)


@pytest.mark.parametrize("is_known_here", [True, False])
async def test_a_job_that_is_canceled_while_it_is_read_is_not_sent(*, is_known_here: bool) -> None:
    job = a_claimed_record()
    scene = given(job)
    if is_known_here:
        scene.jobs.meanwhile.append(lambda: scene.fleet.land(job))
    else:
        scene.jobs.stored.clear()
    async with scene.repeating():
        scene.fleet.order_went(order_of(job), stored=False)
        await scene.nothing_is_sent()
    assert scene.jobs.asked == 1


@pytest.mark.parametrize("others", [{"lease": ANOTHER}, {"attempt": 2}])
async def test_a_job_that_somebody_else_gave_out_again_is_not_sent(others: dict[str, Any]) -> None:
    job = a_claimed_record()
    scene = given(job)
    scene.jobs.stored[job.id] = changed(job, **others)
    async with scene.repeating():
        scene.fleet.order_went(order_of(job), stored=False)
        await scene.nothing_is_sent()
    assert scene.jobs.asked == 1


async def test_a_database_that_is_away_is_asked_again() -> None:
    job = a_claimed_record()
    scene = given(job)
    scene.jobs.errors.append(DatabaseError("away"))
    async with scene.repeating():
        scene.fleet.order_went(order_of(job), stored=False)
        assert await scene.sent() == order_for(job)
    assert scene.jobs.asked == 2
