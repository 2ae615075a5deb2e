"""Jobs that ended and whose inputs and outputs are still kept: one small document each, gone with its data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pymongo import UpdateOne

from gridloom_blob.record import EndedJob
from gridloom_blob.store.indexes import ENDED_JOBS
from gridloom_kit.mongo import Database


class EndedStore:
    """Every write is majority-journaled."""

    def __init__(self, database: Database) -> None:
        self._ended = database[ENDED_JOBS]

    async def put(self, jobs: Sequence[EndedJob]) -> list[None]:
        """Remember when these jobs ended, the last time if they ended more than once."""
        last = {one.job: one for one in sorted(jobs, key=lambda one: one.ended_at)}
        writes = [
            UpdateOne(
                {"_id": one.job},
                {"$setOnInsert": {"account": one.account}, "$max": {"ended_at": one.ended_at}},
                upsert=True,
            )
            for one in last.values()
        ]
        await self._ended.bulk_write(writes, ordered=False)
        return [None] * len(jobs)

    async def accounts(self) -> list[str]:
        """Return the accounts of all of them."""
        return [str(account) for account in await self._ended.distinct("account")]

    async def oldest_of(self, account: str, until: datetime, limit: int) -> list[str]:
        """Return jobs of an account that ended at `until` or before, the oldest first."""
        query = {"account": account, "ended_at": {"$lte": until}}
        found = self._ended.find(query, {"_id": 1}).sort("ended_at", 1).limit(limit)
        return [str(document["_id"]) async for document in found]

    async def forget(self, jobs: Collection[str], until: datetime) -> None:
        """Forget these jobs, unless they ended again after `until`."""
        await self._ended.delete_many({"_id": {"$in": list(jobs)}, "ended_at": {"$lte": until}})
