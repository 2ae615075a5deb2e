"""Jobs by id: accepting them, changing them by compare-and-set, and reading them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from gridloom_contract.vocabulary import State
from gridloom_domain.job import Reason
from gridloom_kit.mongo import FORGETTABLE, Database, Document
from gridloom_kit.outbox import Mark
from gridloom_scheduler.record import JobRecord, job_of, to_document
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.store.indexes import JOBS

_DUPLICATE = 11000
_NO_EVENTS = {"events": 0}
_NO_INPUT = {"events": 0, "task": 0, "echo": 0, "output": 0}
_EMPTY_TASK = {"task": "{}"}
_OUTPUT_ONLY = {"events": 0, "task": 0, "echo": 0}
_TASK_ONLY = {"events": 0, "echo": 0, "output": 0}
_FEW = 25
_TIMED_HOLDS = [str(Reason.BACKOFF), str(Reason.BLOB), str(Reason.GATE)]


class JobStore:
    """Single jobs. Every write is majority-journaled, but for the outbox marks."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JOBS]
        self._marks = database.get_collection(JOBS, write_concern=FORGETTABLE)

    async def insert(self, jobs: Sequence[JobRecord]) -> set[str]:
        """Store new jobs and return the ids of those that are new; the others are there already, unchanged."""
        if not jobs:
            return set()
        try:
            await self._jobs.insert_many([to_document(job) for job in jobs], ordered=False)
        except BulkWriteError as error:
            return {job.id for job in jobs} - _duplicates(error)
        return {job.id for job in jobs}

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """Store each change whose job is still as it was seen. Returns which are stored, by this call or a repeat."""
        if not changes:
            return []
        try:
            result = await self._jobs.bulk_write([_compare_and_set(change) for change in changes], ordered=False)
        except BulkWriteError as error:
            _duplicates(error)  # somebody else took the same berth; anything else is raised again
            return await self._won(changes)
        if result.matched_count == len(changes):
            return [True] * len(changes)
        return await self._won(changes)

    async def _won(self, changes: Sequence[Change]) -> list[bool]:
        ids = [change.facts[0].id for change in changes]
        query = {"_id": {"$in": [change.before.id for change in changes]}, "events.id": {"$in": ids}}
        found = self._jobs.find(query, {"events.id": 1})
        stored = {(job["_id"], event["id"]) async for job in found for event in job["events"]}
        return [(change.before.id, change.facts[0].id) in stored for change in changes]

    async def find(self, job: str) -> JobRecord | None:
        """Return the job without its facts, or None."""
        document = await self._jobs.find_one({"_id": job}, _NO_EVENTS)
        return job_of(document) if document else None

    async def with_events(self, job: str) -> JobRecord | None:
        """Return the job with all its facts but without its texts, or None."""
        document = await self._jobs.find_one({"_id": job}, {"task": 0, "echo": 0, "output": 0})
        return job_of(document | _EMPTY_TASK) if document else None

    async def outputs_of(self, jobs: Sequence[str], account: str) -> AsyncGenerator[JobRecord, None]:
        """Yield those of the jobs that exist and are this account's, with their outputs but without tasks and echoes.

        They come a few at a time, so that large ones are never all here.
        """
        found = self._jobs.find({"_id": {"$in": list(jobs)}, "account": account}, _OUTPUT_ONLY).batch_size(_FEW)
        async for document in found:
            yield job_of(document | _EMPTY_TASK)

    async def many(self, jobs: Iterable[str]) -> dict[str, JobRecord]:
        """Return those of the jobs that exist, by id, without texts and facts."""
        found = self._jobs.find({"_id": {"$in": list(jobs)}}, _NO_INPUT)
        return {document["_id"]: job_of(document | _EMPTY_TASK) async for document in found}

    async def in_hand_of(self, workers: Iterable[str]) -> list[JobRecord]:
        """Return the claimed and running jobs of these workers, without texts and facts."""
        found = self._jobs.find({"lease.worker": {"$in": list(workers)}}, _NO_INPUT)
        return [job_of(document | _EMPTY_TASK) async for document in found]

    async def claimed(self, jobs: Collection[str]) -> list[JobRecord]:
        """Return those of the jobs that a worker has and has not started, with their tasks."""
        found = self._jobs.find({"_id": {"$in": list(jobs)}, "state": str(State.CLAIMED)}, _TASK_ONLY)
        return [job_of(document) async for document in found]

    async def count_in_hand(self) -> dict[str, int]:
        """Return how many jobs each worker has in hand."""
        stages: list[dict[str, Any]] = [
            {"$match": {"lease.worker": {"$gt": ""}}},
            {"$group": {"_id": "$lease.worker", "jobs": {"$sum": 1}}},
        ]
        return {row["_id"]: row["jobs"] async for row in self._jobs.aggregate(stages)}

    async def timed_out(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return jobs in hand whose time from the claim is over."""
        return await self._due("timeout_at", now, limit)

    async def expired(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return living jobs whose deadline is over."""
        return await self._due("expires_at", now, limit)

    async def unstarted(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return waiting jobs whose time to be claimed is over."""
        return await self._due("capacity_at", now, limit)

    async def holds_over(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return held jobs whose waiting time is over. Those held for a quota are let go by account, not one by one."""
        return await self._due("held_until", now, limit, state=str(State.HELD), reason={"$in": _TIMED_HOLDS})

    async def _due(self, field: str, now: datetime, limit: int, **more: Any) -> list[JobRecord]:
        found = self._jobs.find({field: {"$lte": now}, **more}, _NO_INPUT).sort(field, 1).limit(limit)
        return [job_of(document | _EMPTY_TASK) async for document in found]

    async def unpublished(self, since: datetime, limit: int) -> list[JobRecord]:
        """Return jobs, with their facts, some of which may be missing on the bus since that time."""
        query = {"unpublished_since": {"$lte": since}}
        found = self._jobs.find(query, {"task": 0, "echo": 0, "output": 0}).sort("unpublished_since", 1).limit(limit)
        return [job_of(document | _EMPTY_TASK) async for document in found]

    async def count_unpublished(self, limit: int) -> int:
        """Return how many jobs have facts that may be missing on the bus, counting no further than `limit`."""
        return await self._jobs.count_documents({"unpublished_since": {"$exists": True}}, limit=limit)

    async def mark_published(self, marks: Iterable[Mark]) -> None:
        """Note, cheaply, for each mark that the facts after `before` up to `last` are on the bus."""
        alike = defaultdict[tuple[int, int], list[str]](list)
        for job, before, last in marks:
            alike[before, last].append(job)
        updates = [_mark(jobs, before, last) for (before, last), jobs in alike.items()]
        if updates:
            await self._marks.bulk_write(updates, ordered=False)


def _duplicates(error: BulkWriteError) -> set[str]:
    failures = (error.details or {}).get("writeErrors", [])
    if any(failure["code"] != _DUPLICATE for failure in failures) or (error.details or {}).get("writeConcernErrors"):
        raise error
    return {failure["op"].get("_id", "") for failure in failures}


def _compare_and_set(change: Change) -> UpdateOne:
    before = change.before
    present = {name: value for name, value in change.values.items() if value is not None}
    update: Document = {
        "$set": {**msgspec.to_builtins(present, builtin_types=(datetime,)), "seq": change.after.seq},
        "$push": {"events": {"$each": [to_document(fact) for fact in change.facts]}},
    }
    removed = {name: "" for name, value in change.values.items() if value is None}
    if removed:
        update["$unset"] = removed
    return UpdateOne(_as_seen(before), update)


def _as_seen(job: JobRecord) -> Document:
    seen: Document = {"_id": job.id, "state": str(job.state), "seq": job.seq}
    if job.lease is not None:
        seen |= {"attempt": job.attempt, "lease.token": job.lease.token}
    return seen


def _mark(jobs: list[str], before: int, last: int) -> UpdateMany:
    """Mark jobs that have come equally far: together they cost a third of what each by itself would."""
    done = {"$cond": [{"$lte": ["$seq", last]}, "$$REMOVE", "$unpublished_since"]}
    marked = [{"$set": {"published": last, "unpublished_since": done}}]
    return UpdateMany({"_id": {"$in": jobs}, "published": before}, marked)
