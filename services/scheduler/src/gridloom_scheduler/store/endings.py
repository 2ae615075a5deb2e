"""How jobs ended, as accounting asks for it: in order of the job, or in order of time."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gridloom_contract.base import tag_of
from gridloom_contract.events import JobFinished
from gridloom_contract.usage import Ending
from gridloom_kit.mongo import Database, Document
from gridloom_scheduler.rules.ended import ending_of
from gridloom_scheduler.store.indexes import JOBS

_FINISHED = tag_of(JobFinished)
_EVER_ENDED: Document = {"events.type": _FINISHED}
_ENDINGS: Document = {"$filter": {"input": "$events", "cond": {"$eq": ["$$this.type", _FINISHED]}}}
_OF_ENDINGS: Document = {"account": 1, "events": _ENDINGS}
ENDED_ORDER = [("ended_at", 1), ("_id", 1)]


class EndingStore:
    """Questions about jobs that ended."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JOBS]

    async def in_order_of_jobs(self, after: str, limit: int) -> list[Ending]:
        """Return jobs that ever ended, also those that run again, by id, after `after`."""
        query = _EVER_ENDED | {"_id": {"$gt": after}}
        found = self._jobs.find(query, _OF_ENDINGS).sort("_id", 1).limit(limit)
        return [_ending_in(document) async for document in found]

    async def in_order_of_time(self, since: datetime, after: str, limit: int) -> list[Ending]:
        """Return jobs that are ended now, by (ended_at, id), after `(since, after)`."""
        found = self._jobs.find(ended_after(since, after), _OF_ENDINGS).sort(ENDED_ORDER).limit(limit)
        return [_ending_in(document) async for document in found]


def ended_after(since: datetime, after: str) -> Document:
    """Return the query for jobs that come after `(since, after)` in the order in which they ended."""
    return {
        "ended_at": {"$gte": since},
        "$or": [{"ended_at": {"$gt": since}}, {"ended_at": since, "_id": {"$gt": after}}],
    }


def _ending_in(document: Document) -> Ending:
    facts = msgspec.convert(document["events"], tuple[JobFinished, ...])
    return ending_of(document["_id"], document["account"], facts)
