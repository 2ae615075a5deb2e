"""Batches, and the states of their jobs. Whoever works on a batch has a lease: every note of theirs names it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from gridloom_contract.batches import BatchError
from gridloom_contract.vocabulary import State, Usage
from gridloom_domain.job import TERMINAL
from gridloom_kit.mongo import AT_ONE_TIME, Database, Document
from gridloom_scheduler.record import JobRecord, job_of, to_document
from gridloom_scheduler.store.indexes import BATCHES, JOBS

_NO_INPUT = {"events": 0, "task": 0, "echo": 0, "output": 0}
_EMPTY_TASK = {"task": "{}"}
_LIVING = [str(state) for state in State if state not in TERMINAL and state is not State.UNKNOWN]
_NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]
_NO_LONGER = {"due_at": "", "lease": ""}

Counts = dict[State, int]


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": "_id"}):
    """One document of `job_batches`. `due_at` is there while somebody has to work on it: the end of the lease.

    `echo` is JSON text. `counts` are kept once it has ended.
    """

    id: str
    account: str
    key: str
    dialect: str
    created_at: datetime
    echo: str = "{}"
    total: int | None = None
    lines_submitted: int = 0
    input_file: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[BatchError, ...] = ()
    counts: Counts | None = None
    expires_at: datetime | None = None
    checked_at: datetime | None = None
    submitted_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    lease: str | None = None
    model: str | None = None
    finalizing_at: datetime | None = None
    usage: Usage | None = None


class BatchStore:
    """Every write is majority-journaled.

    Jobs are read as they were at one point in time: one whose state changes meanwhile is neither missed nor met twice.
    """

    def __init__(self, database: Database) -> None:
        self._batches = database[BATCHES]
        self._jobs = database.get_collection(JOBS, read_concern=AT_ONE_TIME)

    async def insert(self, batch: BatchRecord) -> BatchRecord:
        """Store a new batch and return it, or the one that has its id already."""
        try:
            await self._batches.insert_one(to_document(batch))
        except DuplicateKeyError:
            return await self.find(batch.id) or batch
        return batch

    async def find(self, batch: str) -> BatchRecord | None:
        """Return the batch, or None."""
        return _found(await self._batches.find_one({"_id": batch}))

    async def page_of(self, account: str, dialect: str, limit: int, after: BatchRecord | None) -> list[BatchRecord]:
        """Return batches of an account, newest first, those after `after`."""
        query: Document = {"account": account, "dialect": dialect}
        if after is not None:
            older = {"created_at": {"$lt": after.created_at}}
            query["$or"] = [older, {"created_at": after.created_at, "_id": {"$lt": after.id}}]
        found = self._batches.find(query).sort(_NEWEST_FIRST).limit(limit)
        return [_batch_of(document) async for document in found]

    async def counts_of(self, batches: Collection[str]) -> dict[str, Counts]:
        """Return how many jobs of these batches are in which state. Reads one index."""
        stages: list[dict[str, Any]] = [
            {"$match": {"parent": {"$in": list(batches)}}},
            {"$group": {"_id": {"parent": "$parent", "state": "$state"}, "jobs": {"$sum": 1}}},
        ]
        counts: dict[str, Counts] = {}
        async for row in self._jobs.aggregate(stages):
            counts.setdefault(row["_id"]["parent"], {})[State(row["_id"]["state"])] = int(row["jobs"])
        return counts

    async def living_jobs_of(self, batch: str, at_once: int) -> AsyncGenerator[list[JobRecord], None]:
        """Yield the jobs of a batch that have not ended, so many at a time, without texts and facts.

        They come in the order in which they are stored, so that changing some of them changes few pages: the ids of
        jobs that were made together have no order. The last ones come first, and so those in hand last of all: whatever
        frees a worker before has it begin with the next one.
        """
        living: Document = {"state": {"$in": _LIVING}}
        found = await self._jobs.find({"parent": batch} | living, {"_id": 1}, show_record_id=True).to_list(None)
        ids = [row["_id"] for row in sorted(found, key=itemgetter("$recordId"), reverse=True)]
        for start in range(0, len(ids), at_once):
            some = self._jobs.find({"_id": {"$in": ids[start : start + at_once]}} | living, _NO_INPUT)
            yield [job_of(document | _EMPTY_TASK) for document in await some.to_list(None)]

    async def cancel(self, batch: str, now: datetime) -> None:
        """Note that its owner wants it canceled. Somebody looks at it now, whoever has its lease."""
        query = {"_id": batch, "ended_at": {"$exists": False}, "cancel_requested_at": {"$exists": False}}
        due_now = {"$cond": [{"$eq": [{"$type": "$due_at"}, "missing"]}, "$$REMOVE", now]}
        await self._batches.update_one(query, [{"$set": {"cancel_requested_at": now, "due_at": due_now}}])

    async def canceled_of(self, batches: Collection[str]) -> list[str]:
        """Return those of the batches that are canceled."""
        query = {"_id": {"$in": list(batches)}, "cancel_requested_at": {"$exists": True}}
        return [batch["_id"] async for batch in self._batches.find(query, {"_id": 1})]

    async def remove(self, batch: str) -> None:
        """Forget the batch."""
        await self._batches.delete_one({"_id": batch})

    async def lease(self, now: datetime, until: datetime, lease: str) -> BatchRecord | None:
        """Return the batch that has waited longest for somebody to work on it, now leased."""
        found = await self._batches.find_one_and_update(
            {"due_at": {"$lte": now}},
            {"$set": {"due_at": until, "lease": lease}},
            sort=[("due_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return _found(found)

    async def note(self, batch: str, lease: str, values: Document, first: Document) -> BatchRecord | None:
        """Store what is known of a leased batch; `first` only where there is nothing yet. None without the lease."""
        steps: list[Document] = [
            {"$set": values},
            {"$set": {name: {"$ifNull": [f"${name}", {"$literal": value}]} for name, value in first.items()}},
        ]
        return await self._changed(batch, lease, [step for step in steps if step["$set"]])

    async def end(self, batch: str, lease: str, values: Document) -> BatchRecord | None:
        """Store how a leased batch ended. None without the lease."""
        return await self._changed(batch, lease, {"$set": values, "$unset": _NO_LONGER})

    async def _changed(self, batch: str, lease: str, change: Document | list[Document]) -> BatchRecord | None:
        return _found(
            await self._batches.find_one_and_update(
                {"_id": batch, "lease": lease}, change, return_document=ReturnDocument.AFTER
            )
        )


def _found(document: Document | None) -> BatchRecord | None:
    return None if document is None else _batch_of(document)


def _batch_of(document: Document) -> BatchRecord:
    return msgspec.convert(document, BatchRecord)
