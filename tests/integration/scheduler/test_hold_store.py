"""However many jobs an account has that may not go, looking past them costs one look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridloom_contract.vocabulary import State
from gridloom_kit.mongo import Database, ensure_indexes
from gridloom_scheduler.record import to_document
from gridloom_scheduler.rules.allowances import Moored
from gridloom_scheduler.store.holds import EARLIEST, HoldStore
from gridloom_scheduler.store.indexes import INDEXES, JOBS
from gridloom_scheduler.store.queue import QueueStore, heads_on
from unit.scheduler.records import a_record

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
ROUTE = "m:m"


@pytest.fixture
async def jobs(database: Database) -> Database:
    """The indexes and no job yet."""
    await ensure_indexes(database, INDEXES)
    return database


async def put(database: Database, count: int, **changes: Any) -> list[str]:
    """Store jobs like these, in order."""
    start = await database[JOBS].count_documents({})
    records = [a_record(id=f"{number:032x}", **changes) for number in range(start, start + count)]
    await database[JOBS].insert_many([to_document(record) for record in records])
    return [record.id for record in records]


async def entries_read(database: Database, stages: list[dict[str, Any]], hint: str) -> int:
    """Return how many index entries MongoDB reads to answer."""
    question = {"aggregate": JOBS, "pipeline": stages, "cursor": {}, "hint": hint}
    plan = await database.command("explain", question, verbosity="executionStats")
    assert "DISTINCT_SCAN" in str(plan), plan
    stats = plan.get("executionStats") or plan["stages"][0]["$cursor"]["executionStats"]
    assert stats["totalDocsExamined"] == 0
    return int(stats["totalKeysExamined"])


def held(account: str, until: datetime) -> dict[str, Any]:
    return {"account": account, "state": State.HELD, "reason": "quota", "held_until": until}


async def test_accounts_over_quota_are_found_without_reading_their_jobs(jobs: Database) -> None:
    soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    await put(jobs, 1_000, **held("ann", later))
    await put(jobs, 1, **held("ann", soon))
    await put(jobs, 500, **held("bob", later))
    await put(jobs, 5, account="cid", state=State.HELD, reason="backoff", held_until=soon)
    assert await HoldStore(jobs).earliest() == {"ann": soon, "bob": later}
    assert await entries_read(jobs, EARLIEST, "over_quota") < 10


async def test_jobs_of_others_are_found_past_those_of_an_account_that_is_stuck(jobs: Database) -> None:
    await put(jobs, 1_000, account="ann", route=ROUTE, fair=1.0)
    bob = await put(jobs, 2, account="bob", route=ROUTE, fair=5.0)
    [urgent] = await put(jobs, 1, account="cid", route=ROUTE, fair=9.0, priority=3)
    await put(jobs, 1, account="dan", route="m:another", fair=0.0)
    found = await QueueStore(jobs).next_past(ROUTE, 10, None, {"ann"})
    assert [job.id for job in found] == [urgent, *bob]
    assert [job.id for job in await QueueStore(jobs).next_past(ROUTE, 10, {"bob", "ann"}, {"ann"})] == bob
    assert await QueueStore(jobs).next_past(ROUTE, 10, {"ann"}, {"ann"}) == []
    assert await entries_read(jobs, heads_on(ROUTE), "heads_of_accounts") < 10


async def test_those_of_high_priority_and_then_those_that_came_first_go_first(jobs: Database) -> None:
    usual = await put(jobs, 3, **held("ann", NOW))
    urgent = await put(jobs, 1, **held("ann", NOW), priority=5)
    found = await HoldStore(jobs).next_held("ann", 3)
    assert [job.id for job in found] == [*urgent, *usual[:2]]


async def test_what_an_account_has_in_hand_is_counted_with_its_berths(jobs: Database) -> None:
    await put(jobs, 1, account="ann", state=State.RUNNING, berth=0)
    await put(jobs, 1, account="ann", state=State.CLAIMED, berth=2)
    await put(jobs, 1, account="ann", state=State.RUNNING)
    await put(jobs, 3, account="ann", state=State.QUEUED)
    moored = await HoldStore(jobs).moored(["ann", "bob"])
    assert moored == {"ann": Moored(3, frozenset({0, 2}))}
