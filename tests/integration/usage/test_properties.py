"""Whatever the order, the repetitions, the batches and the crashes: the books are a plain sum over the facts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom_contract.events import JobFinished
from gridloom_contract.vocabulary import State, Usage
from gridloom_kit.clock import SystemClock
from gridloom_kit.mongo import Database
from gridloom_usage.recorder import Books, Recorder
from gridloom_usage.rules.batches import Batch
from gridloom_usage.rules.lines import BatchId, Line, lines_of
from gridloom_usage.rules.rollups import Group, Sums, increments
from gridloom_usage.store.batches import BatchStore
from gridloom_usage.store.ledger import LedgerStore
from gridloom_usage.store.rollups import RollupStore
from gridloom_usage.verification import RollupProof
from unit.usage.facts import NOON, a_finish, plain_sums

ACCOUNTS = ("acc1", "acc2")
NOBODY = BatchId("", 0)

usages = st.builds(Usage, tokens_in=st.integers(0, 10**6), tokens_out=st.integers(0, 10**6), estimated=st.booleans())
endings = st.fixed_dictionaries(
    {
        "at": st.integers(-40, 40).map(lambda hours: NOON + timedelta(hours=hours)),
        "state": st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELED]),
        "usage": st.none() | usages,
        "engine_seconds": st.none() | st.floats(0, 1000),
    }
)
jobs = st.fixed_dictionaries(
    {
        "account": st.sampled_from(ACCOUNTS),
        "tag": st.sampled_from([None, "a", "b"]),
        "model": st.sampled_from(["small", "large"]),
        "key": st.sampled_from(["key1", "key2"]),
        "endings": st.lists(endings, min_size=1, max_size=3),
    }
)


@dataclass(frozen=True)
class Delivery:
    """Facts that arrive together, what arrives at another replica meanwhile, and how their writer dies, if it does."""

    facts: list[int]
    beside: list[int]
    dies_after: str | None
    rollups_done: int = 0


@dataclass(frozen=True)
class Story:
    """What is told, and how."""

    jobs: list[dict[str, Any]]
    deliveries: list[Delivery]
    finished_after: set[int] = field(default_factory=set)


some_facts = st.lists(st.integers(0, 60), min_size=1, max_size=12)
deliveries = st.builds(
    Delivery,
    facts=some_facts,
    beside=some_facts,
    dies_after=st.sampled_from([None, None, None, "opening", "lines", "some rollups", "all rollups"]),
    rollups_done=st.integers(0, 4),
)
stories = st.builds(
    Story,
    jobs=st.lists(jobs, min_size=1, max_size=8),
    deliveries=st.lists(deliveries, max_size=8),
    finished_after=st.sets(st.integers(0, 8)),
)


def facts_of(story: Story) -> list[JobFinished]:
    return [
        a_finish(job=f"{number:032x}", seq=2 + 3 * index, created_at=NOON, **shared, **ending)
        for number, job in enumerate(story.jobs)
        for shared in [{name: job[name] for name in ("account", "tag", "model", "key")}]
        for index, ending in enumerate(job["endings"])
    ]


class Grid:
    """Writers that come and go over one set of books."""

    def __init__(self, database: Database) -> None:
        self.ledger = LedgerStore(database)
        self.rollups = RollupStore(database)
        self.batches = BatchStore(database)
        self._names: Iterator[int] = count(1)
        self.recorder = self.new_recorder()

    def new_writer(self) -> str:
        return f"w{next(self._names)}"

    def new_recorder(self) -> Recorder:
        return Recorder(Books(self.ledger, self.rollups, self.batches), SystemClock(), self.new_writer)

    async def deliver(self, facts: list[JobFinished], delivery: Delivery) -> None:
        if delivery.dies_after is None:
            await self.recorder.record(facts)
        else:
            await self._die(facts, delivery)

    async def _die(self, facts: list[JobFinished], delivery: Delivery) -> None:
        batch = Batch(id=BatchId(self.new_writer(), 1), opened_at=SystemClock().now(), facts=tuple(facts))
        await self.batches.open(batch)
        if delivery.dies_after == "opening":
            return
        lines = lines_of(facts, batch.id)
        growth = list(increments(lines, await self.ledger.add(lines, batch.id)).items())
        if delivery.dies_after == "some rollups":
            await self.rollups.apply(batch.id, dict(growth[: delivery.rollups_done]))
        if delivery.dies_after == "all rollups":
            await self.rollups.apply(batch.id, dict(growth))

    async def finish_left(self) -> None:
        """Two replicas do so at the same time."""
        await asyncio.gather(self.new_recorder().finish_left(), self.new_recorder().finish_left())

    async def totals(self) -> Mapping[Group, Sums]:
        return {
            group: rollup.sums
            for account in ACCOUNTS
            for group, rollup in (await self.rollups.of_account(account)).items()
        }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(story=stories)
async def test_books_are_what_a_plain_sum_over_the_facts_says(story: Story, database: Database) -> None:
    for name in ("ledger", "rollups", "batches"):
        await database[name].delete_many({})
    facts, grid = facts_of(story), Grid(database)

    for number, delivery in enumerate(story.deliveries):
        here, there = ([facts[index % len(facts)] for index in each] for each in (delivery.facts, delivery.beside))
        await asyncio.gather(grid.deliver(here, delivery), grid.new_recorder().record(there))
        if number in story.finished_after:
            await grid.finish_left()
    await grid.recorder.record(facts)
    await grid.finish_left()

    assert await grid.totals() == plain_sums(facts)
    written = await grid.ledger.of_jobs([fact.job for fact in facts])
    assert [without_batches(line) for line in sorted(written, key=lambda line: line.job)] == [
        without_batches(line) for line in lines_of(facts, NOBODY)
    ]
    assert await RollupProof(grid.ledger, grid.rollups, grid.batches).prove() == (len(await grid.totals()), [])
    assert await database["batches"].count_documents({}) == 0


def without_batches(line: Line) -> dict[str, Any]:
    entries = tuple(msgspec.structs.replace(entry, batch=NOBODY) for entry in line.entries)
    return msgspec.structs.asdict(msgspec.structs.replace(line, entries=entries))
