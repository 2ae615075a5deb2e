"""What of the jobs is told again, page by page, and how far that got."""

from __future__ import annotations

import msgspec

from gridloom_kit.mongo import Database, Document
from gridloom_scheduler.record import JobRecord, job_of, to_document
from gridloom_scheduler.rules.retelling import Retelling
from gridloom_scheduler.store.endings import ENDED_ORDER, ended_after
from gridloom_scheduler.store.indexes import JOBS, RETELLINGS

_NO_TEXTS = {"task": 0, "echo": 0, "output": 0}
_EMPTY_TASK = {"task": "{}"}


class RetellingStore:
    """Reads jobs with their facts in the order of a retelling, and keeps its place."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JOBS]
        self._retellings = database[RETELLINGS]

    async def find(self, stream: str) -> Retelling | None:
        """Return how far it got with a stream, or None."""
        document = await self._retellings.find_one({"_id": stream})
        return msgspec.convert(document, Retelling) if document else None

    async def keep(self, told: Retelling) -> None:
        """Remember how far it got."""
        await self._retellings.replace_one({"_id": told.stream}, to_document(told), upsert=True)

    async def page_after(self, told: Retelling, limit: int) -> list[JobRecord]:
        """Return the next jobs, with their facts and without their texts."""
        found = self._jobs.find(_next_of(told), _NO_TEXTS).sort(ENDED_ORDER).limit(limit)
        return [job_of(document | _EMPTY_TASK) async for document in found]


def _next_of(told: Retelling) -> Document:
    if told.until is None or told.ended_at is None:
        return {"ended_at": None, "_id": {"$gt": told.job}}
    query = ended_after(told.ended_at, told.job)
    query["ended_at"]["$lte"] = told.until
    return query
