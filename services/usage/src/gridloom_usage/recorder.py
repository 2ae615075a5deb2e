"""Writes endings into ledger and rollups exactly once, whatever dies on the way.

In four steps, each of which may be repeated by anybody: open a batch that holds the facts; add them to their jobs'
lines; add to the rollups what the ledger says this batch counts; close the batch. An ending belongs to the batch that
brought it into the ledger, for ever, so two batches with the same fact agree which of them counts it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_contract.events import JobFinished
from gridloom_kit.clock import Clock
from gridloom_kit.crash import point
from gridloom_kit.log import get_logger
from gridloom_usage import metrics
from gridloom_usage.rules.batches import Batch
from gridloom_usage.rules.lines import BatchId, EndingKey, Line, lines_of
from gridloom_usage.rules.rollups import Group, Sums, increments

log = get_logger()


class Ledger(Protocol):
    """The lines."""

    async def add(self, lines: Sequence[Line], batch: BatchId) -> set[EndingKey]:
        """Store what is not stored yet; return which endings `batch` counts."""
        ...


class Rollups(Protocol):
    """The totals."""

    async def apply(self, batch: BatchId, increments: Mapping[Group, Sums]) -> None:
        """Add what is not added yet."""
        ...


class Batches(Protocol):
    """What is under way."""

    async def open(self, batch: Batch) -> None:
        """Remember a batch before it is written."""
        ...

    async def close(self, batch: BatchId) -> None:
        """Forget a batch that is written."""
        ...

    def opened_before(self, moment: datetime) -> AsyncIterator[Batch]:
        """Yield open batches."""
        ...


@dataclass(frozen=True)
class Books:
    """The three collections that a batch goes through."""

    ledger: Ledger
    rollups: Rollups
    batches: Batches


class Recorder:
    """Records batches, one after the other, and finishes those that others left."""

    def __init__(self, books: Books, clock: Clock, new_writer: Callable[[], str]) -> None:
        self._books = books
        self._clock = clock
        self._new_writer = new_writer
        self._next = BatchId(new_writer(), 1)
        self._count = metrics.Count()

    async def record(self, facts: list[JobFinished]) -> list[None]:
        """Return once all of them are in ledger and rollups. Not to be called again before it returns."""
        batch = Batch(id=self._next, opened_at=self._clock.now(), facts=tuple(facts))
        # Whatever breaks this batch leaves it open, and a writer must not go on past an open batch of its own.
        self._next = BatchId(self._new_writer(), 1)
        await self._books.batches.open(batch)
        point("usage.batch_opened")
        await self.finish(batch)
        self._next = BatchId(batch.id.writer, batch.id.number + 1)
        return [None] * len(facts)

    async def finish(self, batch: Batch) -> None:
        """Do what is not done yet of an open batch, and close it."""
        lines = lines_of(batch.facts, batch.id)
        counted = await self._books.ledger.add(lines, batch.id)
        point("usage.lines_written")
        growth = increments(lines, counted)
        await self._books.rollups.apply(batch.id, growth)
        point("usage.rollups_written")
        await self._books.batches.close(batch.id)
        point("usage.batch_closed")
        self._count.recorded(growth.items())
        metrics.duplicates_ignored.inc(len(batch.facts) - len(counted))

    async def finish_left(self, age_seconds: float = 0.0) -> None:
        """Finish every batch that was opened at least `age_seconds` ago and is still open."""
        async for batch in self._books.batches.opened_before(self._clock.now() - timedelta(seconds=age_seconds)):
            await self.finish(batch)
            metrics.batches_finished.inc()
            log.warning("usage.batch_finished", writer=batch.id.writer, number=batch.id.number, facts=len(batch.facts))
