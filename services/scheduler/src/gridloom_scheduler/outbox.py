"""The outbox: facts and orders go to JetStream in the order they were stored, without anybody waiting for it.

Orders and the facts of jobs that are under way go before the facts of jobs that merely wait: a hundred thousand
submissions must not keep a worker idle. The facts of one job stay in order all the same.

A fact is part of the job's document before it comes here, so what is lost on the way (a crash, a wiped stream) is
published again by the sweeper. That it arrived is noted late and in batches: one cheap write for most jobs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from gridloom_contract.events import JobEvent
from gridloom_contract.registry import fact_subject
from gridloom_contract.work import WorkOrder
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler import metrics

log = get_logger()

_MARK_SECONDS = 0.3
_MOST_AT_ONCE = 256
_MOST_BATCHES = 8
Mark = tuple[str, int, int]


class Stream(Protocol):
    """Where facts and orders go."""

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        """Store messages; say for each whether it is stored."""
        ...


class Marks(Protocol):
    """Where it is noted what arrived."""

    async def mark_published(self, marks: Iterable[Mark]) -> None:
        """Note for `(job, before, last)` that the facts after `before` up to `last` are on the bus."""
        ...


def fact_message(fact: JobEvent) -> Outgoing:
    """Return a fact as it is published: the same one always under the same id."""
    return Outgoing(subject=fact_subject(fact), message=fact, message_id=f"{fact.job}:{fact.seq}")


def order_message(subject: str, order: WorkOrder) -> Outgoing:
    """Return an order as it is published: one attempt is delivered once."""
    return Outgoing(subject=subject, message=order, message_id=f"{order.job}:{order.attempt}")


class Outbox:
    """Publishes what is posted, soon and in order. `on_order` hears of each order whether JetStream has it."""

    def __init__(self, stream: Stream, marks: Marks, on_order: Callable[[WorkOrder, bool], None]) -> None:
        self.stream = stream
        self._store = marks
        self._on_order = on_order
        self._posted: deque[Outgoing] = deque()
        self._waiting: dict[str, list[Outgoing]] = {}
        self._arrived: dict[str, set[int]] = {}
        self._something = asyncio.Event()
        self._places = asyncio.Semaphore(_MOST_BATCHES)

    def post(self, facts: Iterable[JobEvent], orders: Iterable[Outgoing] = ()) -> None:
        """Have facts, and orders after them, published soon."""
        for fact in facts:
            self._posted.extend(self._waiting.pop(fact.job, ()))
            self._posted.append(fact_message(fact))
        self._posted.extend(orders)
        self._something.set()

    def post_when_idle(self, facts: Iterable[JobEvent]) -> None:
        """Have facts published once nothing else is to be."""
        for fact in facts:
            self._waiting.setdefault(fact.job, []).append(fact_message(fact))
        self._something.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until told to stop; then what is posted still goes out."""
        async with asyncio.TaskGroup() as tasks:
            marking = tasks.create_task(self._mark_often())
            stopping = tasks.create_task(self._wake_on(stop))
            while not stop.is_set() or self._posted or self._waiting:
                await self._something.wait()
                self._something.clear()
                await self._send_posted(tasks)
            await stopping
            marking.cancel()
        await self._mark()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._something.set()

    async def _send_posted(self, tasks: asyncio.TaskGroup) -> None:
        while self._posted or self._waiting:
            await self._places.acquire()
            tasks.create_task(self._send(self._next_batch()))

    def _next_batch(self) -> list[Outgoing]:
        batch = [self._posted.popleft() for _ in range(min(len(self._posted), _MOST_AT_ONCE))]
        while not self._posted and self._waiting and len(batch) < _MOST_AT_ONCE:
            batch += self._waiting.pop(next(iter(self._waiting)))
        return batch

    async def _send(self, batch: list[Outgoing]) -> None:
        try:
            for item, stored in zip(batch, await self.stream.publish_many(batch), strict=True):
                if isinstance(item.message, WorkOrder):
                    metrics.orders_unsent.inc(0 if stored else 1)
                    self._on_order(item.message, stored)
                elif stored:
                    self._note(item)
        finally:
            self._places.release()

    def _note(self, item: Outgoing) -> None:
        job, _, seq = item.message_id.rpartition(":")
        self._arrived.setdefault(job, set()).add(int(seq))

    async def _mark_often(self) -> None:
        while True:
            await asyncio.sleep(_MARK_SECONDS)
            await self._mark()

    async def _mark(self) -> None:
        arrived, self._arrived = self._arrived, {}
        try:
            await self._store.mark_published(_run_of(job, seqs) for job, seqs in arrived.items())
        except DatabaseError as error:
            log.warning("outbox.not_marked", jobs=len(arrived), err=str(error))


def _run_of(job: str, seqs: set[int]) -> Mark:
    """Return the first run without a gap; what comes after a gap is left to the sweeper."""
    first = last = min(seqs)
    while last + 1 in seqs:
        last += 1
    return job, first - 1, last
