"""Canceling a batch ends all of its jobs, also those that change while it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gridloom_contract import subjects
from gridloom_contract.base import Message
from gridloom_contract.vocabulary import State
from gridloom_contract.work import StopWork
from gridloom_kit.mongo import Database, ensure_indexes
from gridloom_scheduler.canceling import Canceling
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.transitions import Placement
from gridloom_scheduler.store import Stores
from gridloom_scheduler.store.indexes import INDEXES
from gridloom_testing.builders import a_job_id
from unit.scheduler.records import LEASE, WORKER, a_moment, a_record

MORE_THAN_AT_ONCE = 501


@pytest.fixture
async def stores(database: Database) -> Stores:
    """The indexes and no job yet."""
    await ensure_indexes(database, INDEXES)
    return Stores(database)


@dataclass
class Overtaken:
    """A ledger whose first writes are overtaken, each by one of these changes."""

    stores: Stores
    meanwhile: list[Change] = field(default_factory=list)

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Store the changes, after somebody else's."""
        if self.meanwhile:
            assert await self.stores.jobs.apply([self.meanwhile.pop(0)]) == [True]
        return await self.stores.jobs.apply(changes)


@dataclass
class Heard:
    """The line to workers: what they are told, and what is asked of JetStream."""

    told: list[tuple[str, Message]] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def publish(self, subject: str, message: Message) -> None:
        """Remember the message."""
        self.told.append((subject, message))

    async def js_api(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Remember the question."""
        self.asked.append((name, body))
        return {}


def canceling(ledger: Overtaken, line: Heard) -> Canceling:
    return Canceling(ledger.stores.batches, ledger, Recall(line), Chance())


async def test_a_job_that_gets_a_worker_while_its_batch_is_canceled_is_canceled_all_the_same(stores: Stores) -> None:
    batch, line = a_job_id(), Heard()
    jobs = [a_record(parent=batch) for _ in range(3)]
    await stores.jobs.insert(jobs)
    claim = transitions.assigned(jobs[1], Placement(WORKER, "llama:8b", "credit"), LEASE, a_moment())
    start = transitions.started(claim.after, a_moment())
    await canceling(Overtaken(stores, [claim, start]), line).cancel(batch)
    assert await stores.batches.counts_of([batch]) == {batch: {State.CANCELED: 3}}
    assert line.told == [(subjects.stop(WORKER), StopWork(job=jobs[1].id, attempt=1, reason="user"))]


async def test_some_hundreds_of_many_jobs_are_canceled_each_time(stores: Stores) -> None:
    batch, ledger = a_job_id(), Overtaken(stores)
    await stores.jobs.insert([a_record(parent=batch) for _ in range(MORE_THAN_AT_ONCE)])
    await canceling(ledger, Heard()).cancel(batch)
    assert (await stores.batches.counts_of([batch]))[batch] == {State.CANCELED: 500, State.QUEUED: 1}
    await canceling(ledger, Heard()).cancel(batch)
    assert await stores.batches.counts_of([batch]) == {batch: {State.CANCELED: MORE_THAN_AT_ONCE}}


async def test_in_time_all_are_canceled_each_with_the_fact_that_says_so(stores: Stores) -> None:
    batch, ledger = a_job_id(), Overtaken(stores)
    jobs = [a_record(parent=batch) for _ in range(MORE_THAN_AT_ONCE)]
    await stores.jobs.insert(jobs)
    await canceling(ledger, Heard()).cancel(batch, seconds=30.0)
    assert await stores.batches.counts_of([batch]) == {batch: {State.CANCELED: MORE_THAN_AT_ONCE}}
    [missing] = {len(job.events) for job in await stores.jobs.unpublished(Chance().clock.now(), MORE_THAN_AT_ONCE)}
    assert missing == 1
    assert await stores.jobs.count_unpublished(2 * MORE_THAN_AT_ONCE) == MORE_THAN_AT_ONCE


async def test_jobs_are_looked_at_in_the_order_in_which_they_are_stored_the_last_first(stores: Stores) -> None:
    batch = a_job_id()
    ids = sorted(a_job_id() for _ in range(6))
    for job in ids:
        await stores.jobs.insert([a_record(id=job, parent=batch)])
    found = [{job.id for job in some} async for some in stores.batches.living_jobs_of(batch, 2)]
    assert found == [set(ids[4:]), set(ids[2:4]), set(ids[:2])]


async def test_a_batch_whose_jobs_have_all_ended_stays_as_it_is(stores: Stores) -> None:
    batch, other = a_job_id(), a_job_id()
    await stores.jobs.insert([a_record(parent=batch, state=State.SUCCEEDED), a_record(parent=other)])
    await canceling(Overtaken(stores), Heard()).cancel(batch)
    assert await stores.batches.counts_of([batch, other]) == {batch: {State.SUCCEEDED: 1}, other: {State.QUEUED: 1}}


async def test_a_job_that_changes_while_others_are_looked_at_is_not_missed(stores: Stores) -> None:
    batch = a_job_id()
    jobs = [a_record(parent=batch) for _ in range(3)]
    await stores.jobs.insert(jobs)
    seen = list[str]()
    async for found in stores.batches.living_jobs_of(batch, 1):
        if not seen:
            claims = [
                transitions.assigned(job, Placement(WORKER, "llama:8b", "credit"), LEASE, a_moment()) for job in jobs
            ]
            await stores.jobs.apply(claims)
        seen += [job.id for job in found]
    assert sorted(seen) == sorted(job.id for job in jobs)
