"""The sealed API keys in the facts of jobs with webhooks: found once they are of no more use, and forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gridloom_kit.mongo import Database, Document
from gridloom_scheduler.store.indexes import JOBS

_HOLDING: Document = {"holds_keys": True}


class KeyStore:
    """The facts stay as they are but for the keys: nobody publishes them any more when these go."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JOBS]

    async def holding(self, ended_before: datetime, limit: int) -> list[str]:
        """Return jobs that ended before that time and still hold sealed keys."""
        found = self._jobs.find(_HOLDING | {"ended_at": {"$lt": ended_before}}, {"_id": 1})
        return [document["_id"] async for document in found.sort("ended_at", 1).limit(limit)]

    async def forget(self, jobs: Iterable[str], ended_before: datetime) -> int:
        """Forget the sealed keys of these jobs, but of those that run again or ended later. Returns of how many."""
        query = _HOLDING | {"_id": {"$in": list(jobs)}, "ended_at": {"$lt": ended_before}}
        # The order of a webhook always has a key: an empty one is none. That of a retry may be missing.
        change = {
            "$set": {"events.$[accepted].webhook.sealed_key": ""},
            "$unset": {"events.$[retried].sealed_key": "", "holds_keys": ""},
        }
        filters = [{"accepted.webhook": {"$exists": True}}, {"retried.sealed_key": {"$exists": True}}]
        return int((await self._jobs.update_many(query, change, array_filters=filters)).modified_count)
