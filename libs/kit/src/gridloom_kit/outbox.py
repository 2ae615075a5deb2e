"""The transactional outbox: what a write says happened goes to JetStream soon after it, in order, and nobody waits.

A fact is part of the document whose change it reports before it comes here, so what is lost on the way (a crash, a
wiped stream) is published again by a sweeper. That it arrived is noted late and in batches: one cheap write for most
documents. Messages that are no facts go along in the same order; whoever posts them hears what became of them.

Facts that somebody waits for go before those that can wait: a hundred thousand new ones must not keep anybody idle.
What can wait gathers for a moment, so that a trickle makes batches, too: each by itself would cost the bus, its disk
and all that consume it as much as ten together. The facts of one document stay in order all the same.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from gridloom_contract.base import Message
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError

log = get_logger()

_MARK_SECONDS = 0.5
_SETTLED_SECONDS = 3.0
"""A document that is under way is marked no sooner than this: most reach their last fact first, and take one mark."""
SOON_SECONDS = 0.05
"""Facts that can wait a moment do so for company."""
_MOST_AT_ONCE = 256
_MOST_BATCHES = 8


class Mark(NamedTuple):
    """The facts of document `key` after seq `before` up to `last` are on the bus."""

    key: str
    before: int
    last: int


class Fact(NamedTuple):
    """A fact as it is published: number `seq` of document `key`, always under the same message id.

    After the one that `is_last` no others are to be expected.
    """

    key: str
    seq: int
    outgoing: Outgoing
    is_last: bool = False


class _Arrived:
    """The facts of one document that are on the bus and not marked yet."""

    __slots__ = ("is_complete", "seqs", "since")

    def __init__(self, since: float) -> None:
        self.seqs: set[int] = set()
        self.since = since
        self.is_complete = False


class Stream(Protocol):
    """Where messages go."""

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        """Store messages; say for each whether it is stored."""
        ...


class Marks(Protocol):
    """Where it is noted what arrived."""

    async def mark_published(self, marks: Iterable[Mark]) -> None:
        """Note the marks. Raises `DatabaseError`; the sweeper then publishes again, which harms nobody."""
        ...


class Outbox:
    """Publishes what is posted, soon and in order. `on_other` hears of each message that is no fact."""

    def __init__(self, stream: Stream, marks: Marks, on_other: Callable[[Message, bool], None]) -> None:
        self.stream = stream
        self._store = marks
        self._on_other = on_other
        self._posted: deque[Fact | Outgoing] = deque()
        self._waiting: dict[str, list[Fact]] = {}
        self._arrived: dict[str, _Arrived] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._are_due = False
        self._something = asyncio.Event()
        self._places = asyncio.Semaphore(_MOST_BATCHES)

    def post(self, facts: Iterable[Fact], others: Iterable[Outgoing] = ()) -> None:
        """Have facts, and other messages after them, published soon."""
        for fact in facts:
            self._posted.extend(self._waiting.pop(fact.key, ()))
            self._posted.append(fact)
        self._posted.extend(others)
        if self._posted:
            self._something.set()

    def post_later(self, facts: Iterable[Fact], within_seconds: float = SOON_SECONDS) -> None:
        """Have facts published within a moment, once nothing else is to be: with all that can wait."""
        for fact in facts:
            self._waiting.setdefault(fact.key, []).append(fact)
        if len(self._waiting) >= _MOST_AT_ONCE:
            self._hurry()
        elif self._waiting:
            self._hurry_within(within_seconds)

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
        await self._mark(math.inf)

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._hurry()

    def _hurry_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._hurry)

    def _hurry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._are_due = True
        self._something.set()

    async def _send_posted(self, tasks: asyncio.TaskGroup) -> None:
        while self._posted or (self._are_due and self._waiting):
            await self._places.acquire()
            tasks.create_task(self._send(self._next_batch()))
        self._are_due = False

    def _next_batch(self) -> list[Fact | Outgoing]:
        batch = [self._posted.popleft() for _ in range(min(len(self._posted), _MOST_AT_ONCE))]
        while self._are_due and not self._posted and self._waiting and len(batch) < _MOST_AT_ONCE:
            batch += self._waiting.pop(next(iter(self._waiting)))
        return batch

    async def _send(self, batch: list[Fact | Outgoing]) -> None:
        outgoing = [item.outgoing if isinstance(item, Fact) else item for item in batch]
        try:
            for item, stored in zip(batch, await self.stream.publish_many(outgoing), strict=True):
                if not isinstance(item, Fact):
                    self._on_other(item.message, stored)
                elif stored:
                    self._note(item)
        finally:
            self._places.release()

    def _note(self, fact: Fact) -> None:
        arrived = self._arrived.get(fact.key)
        if arrived is None:
            arrived = self._arrived[fact.key] = _Arrived(asyncio.get_running_loop().time())
        arrived.seqs.add(fact.seq)
        arrived.is_complete = arrived.is_complete or fact.is_last

    async def _mark_often(self) -> None:
        while True:
            await asyncio.sleep(_MARK_SECONDS)
            await self._mark(asyncio.get_running_loop().time() - _SETTLED_SECONDS)

    async def _mark(self, settled_before: float) -> None:
        due = {key for key, one in self._arrived.items() if one.is_complete or one.since <= settled_before}
        marks = [_run_of(key, self._arrived.pop(key).seqs) for key in due]
        try:
            await self._store.mark_published(marks)
        except DatabaseError as error:
            log.warning("outbox.not_marked", documents=len(marks), err=str(error))


def _run_of(key: str, seqs: set[int]) -> Mark:
    """Return the first run without a gap; what comes after a gap is left to the sweeper."""
    first = last = min(seqs)
    while last + 1 in seqs:
        last += 1
    return Mark(key, first - 1, last)
