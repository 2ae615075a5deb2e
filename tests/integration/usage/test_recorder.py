"""One process goes on after a write failed, and replicas share jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from gridloom_kit.clock import SystemClock
from gridloom_kit.mongo import Database
from gridloom_usage.recorder import Books, Recorder
from gridloom_usage.rules.lines import BatchId
from gridloom_usage.rules.rollups import Group, Sums
from gridloom_usage.store.batches import BatchStore
from gridloom_usage.store.ledger import LedgerStore
from gridloom_usage.store.rollups import RollupStore
from unit.usage.facts import a_finish, another_finish, plain_sums


class Unlucky(RollupStore):
    """The line to MongoDB breaks once, after a part of the rollups."""

    fails_next = True

    async def apply(self, batch: BatchId, increments: Mapping[Group, Sums]) -> None:
        if self.fails_next:
            self.fails_next = False
            await super().apply(batch, dict(list(increments.items())[:1]))
            raise ConnectionResetError
        await super().apply(batch, increments)


async def totals(database: Database) -> dict[Group, Sums]:
    rollups = await RollupStore(database).of_account("acc1")
    return {group: rollup.sums for group, rollup in rollups.items()}


def a_recorder(database: Database, rollups: RollupStore, name: str = "w") -> Recorder:
    names = iter(f"{name}{number}" for number in range(100))
    books = Books(LedgerStore(database), rollups, BatchStore(database))
    return Recorder(books, SystemClock(), lambda: next(names))


async def test_a_recorder_that_failed_goes_on_and_what_it_left_is_finished_later(database: Database) -> None:
    recorder = a_recorder(database, Unlucky(database))
    left = [a_finish(tag="a"), a_finish(tag="b")]
    later = [a_finish(tag="a"), a_finish(tag="b")]
    with pytest.raises(ConnectionResetError):
        await recorder.record(left)
    await recorder.record(later)
    await recorder.record([*left, *later])
    assert sum(sums.jobs for sums in (await totals(database)).values()) == 3
    await recorder.finish_left()
    await recorder.finish_left()
    assert await totals(database) == plain_sums([*left, *later])


async def test_a_batch_finished_by_somebody_else_may_be_finished_again_much_later(database: Database) -> None:
    batches = BatchStore(database)
    facts = [a_finish(tag="a"), a_finish(tag="b")]
    frozen = a_recorder(database, Unlucky(database), "frozen")
    with pytest.raises(ConnectionResetError):
        await frozen.record(facts)
    async for batch in batches.opened_before(SystemClock().now()):
        seen = batch
    other = a_recorder(database, RollupStore(database), "other")
    await other.finish_left()
    await other.record(more := [a_finish(tag="a")])
    await frozen.finish(seen)
    assert await totals(database) == plain_sums([*facts, *more])


async def test_endings_of_one_job_may_be_written_by_many_replicas_at_once(database: Database) -> None:
    first = a_finish()
    facts = [first, *(another_finish(first, seq=4 + 5 * number) for number in range(1, 20))]
    recorders = [a_recorder(database, RollupStore(database), f"r{number}x") for number in range(20)]
    await asyncio.gather(*(recorder.record([fact]) for recorder, fact in zip(recorders, facts, strict=True)))
    (line,) = await LedgerStore(database).of_jobs([first.job])
    assert [entry.seq for entry in line.entries] == [fact.seq for fact in facts]
    assert await totals(database) == plain_sums(facts)
