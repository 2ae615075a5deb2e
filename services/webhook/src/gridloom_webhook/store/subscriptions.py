"""Subscriptions by job: written when the job is accepted, closed when its last event is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import UpdateOne

from gridloom_kit.mongo import Database, Document
from gridloom_webhook.record import Closing, Leave, Subscription
from gridloom_webhook.rules import PROGRESS_SECONDS
from gridloom_webhook.store.documents import subscription_document, subscription_of
from gridloom_webhook.store.indexes import SUBSCRIPTIONS

_SPACING = timedelta(seconds=PROGRESS_SECONDS)


class SubscriptionStore:
    """Every write is majority-journaled. Subscriptions of ended jobs expire `retention_seconds` later."""

    def __init__(self, database: Database, retention_seconds: float) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]
        self._retention = timedelta(seconds=retention_seconds)

    async def put(self, subscriptions: Sequence[Subscription]) -> list[None]:
        """Store new subscriptions; one that is there stays as it is."""
        writes = [
            UpdateOne({"_id": one.job}, {"$setOnInsert": subscription_document(one)}, upsert=True)
            for one in subscriptions
        ]
        await self._subscriptions.bulk_write(writes, ordered=False)
        return [None] * len(subscriptions)

    async def find(self, jobs: Sequence[str]) -> list[Subscription | None]:
        """Return the subscription of each job, or None."""
        found = {one["_id"]: one async for one in self._subscriptions.find({"_id": {"$in": list(set(jobs))}})}
        return [subscription_of(found[job]) if job in found else None for job in jobs]

    async def close(self, closings: Sequence[Closing]) -> list[None]:
        """Forget the sealed keys, and allow no intermediate event of what was before the end any more."""
        writes = [write for closing in closings for write in _closing(closing, closing.at + self._retention)]
        await self._subscriptions.bulk_write(writes, ordered=True)
        return [None] * len(closings)

    async def reopen(self, job: str, seq: int, sealed_key: str | None, kid: str | None) -> None:
        """The job runs again since fact `seq`, perhaps with its owner's key sealed anew."""
        values: Document = {"reopened_seq": seq}
        if sealed_key:
            values |= {"sealed_key": sealed_key, "kid": kid}
        query = {"_id": job, "reopened_seq": {"$lt": seq}, "ended_seq": {"$lt": seq}}
        await self._subscriptions.update_one(query, {"$set": values, "$unset": {"expire_at": ""}})

    async def may_progress(self, job: str, seq: int, now: datetime) -> Leave:
        """Take the right to send one intermediate event of fact `seq` now, against all other replicas."""
        live = {"_id": job, "ended_seq": {"$lt": seq}}
        query = live | {"progress_at": {"$not": {"$gt": now - _SPACING}}}
        if (await self._subscriptions.update_one(query, {"$set": {"progress_at": now}})).matched_count == 1:
            return Leave.GIVEN
        return Leave.LATER if await self._subscriptions.find_one(live, {"_id": 1}) else Leave.NEVER

    async def progressed(self, job: str, now: datetime) -> None:
        """One has been sent and answered: the next one keeps its distance from now."""
        await self._subscriptions.update_one({"_id": job}, {"$max": {"progress_at": now}})

    async def forget_key(self, kid: str) -> int:
        """Drop every sealed copy of this API key. Returns how many there were."""
        query = {"kid": kid, "sealed_key": {"$exists": True}}
        return int((await self._subscriptions.update_many(query, {"$unset": {"sealed_key": ""}})).modified_count)


def _closing(closing: Closing, expire_at: datetime) -> list[UpdateOne]:
    ended = {"$max": {"ended_seq": closing.seq, "expire_at": expire_at}}
    last = {"_id": closing.job, "reopened_seq": {"$lt": closing.seq}}
    reopened = {"_id": closing.job, "reopened_seq": {"$gt": closing.seq}}
    return [
        UpdateOne(last, ended | {"$unset": {"sealed_key": ""}}),
        UpdateOne(reopened, {"$max": {"ended_seq": closing.seq}}),
    ]
