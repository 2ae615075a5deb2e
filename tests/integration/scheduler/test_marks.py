"""What is on the bus is marked for many jobs in few writes, and only for those that have come so far."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gridloom_kit.mongo import Database, ensure_indexes
from gridloom_kit.outbox import Mark
from gridloom_scheduler.store.indexes import INDEXES
from gridloom_scheduler.store.jobs import JobStore
from unit.scheduler.records import NOW, a_record


@pytest.fixture
async def jobs(database: Database) -> JobStore:
    """The indexes and no job yet."""
    await ensure_indexes(database, INDEXES)
    return JobStore(database)


async def test_jobs_are_marked_together_however_far_each_has_come(jobs: JobStore, database: Database) -> None:
    fresh, ended, further, behind, other = (
        a_record(seq=seq, published=published, unpublished_since=NOW)
        for seq, published in ((1, 0), (4, 1), (5, 1), (4, 0), (4, 1))
    )
    await jobs.insert([fresh, ended, further, behind, other])

    await jobs.mark_published(
        [Mark(fresh.id, 0, 1), Mark(ended.id, 1, 4), Mark(further.id, 1, 4), Mark(behind.id, 1, 4)]
    )
    await jobs.insert([later := a_record()])  # durable, and what was written before it, too: marks are not at once

    stored = {job["_id"]: job["published"] async for job in database["jobs"].find()}
    assert stored == {fresh.id: 1, ended.id: 4, further.id: 4, behind.id: 0, other.id: 1, later.id: 0}
    missing = {job.id for job in await jobs.unpublished(NOW + timedelta(seconds=1), 10)}
    assert missing == {further.id, behind.id, other.id}
