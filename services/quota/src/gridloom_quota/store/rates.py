"""Calls a minute: one counter a key, route group and minute, which MongoDB itself forgets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from gridloom_kit.mongo import FORGETTABLE, Database
from gridloom_quota.store.indexes import RATES

_KEPT = timedelta(minutes=5)


class RateStore:
    """Counters that never pass their limit. A crash may forget the last ones: a minute's count is no record."""

    def __init__(self, database: Database) -> None:
        self._rates = database.get_collection(RATES, write_concern=FORGETTABLE)

    async def take(self, counter: str, minute: datetime, count: int, per_minute: int) -> int:
        """Take up to `count` calls of one minute. Returns how many had been taken before."""
        taken: dict[str, Any] = {"$ifNull": ["$taken", 0]}
        more = {"$max": [taken, {"$min": [per_minute, {"$add": [taken, count]}]}]}
        before = await self._rates.find_one_and_update(
            {"_id": f"{counter} {minute:%Y-%m-%dT%H:%M}"},
            [{"$set": {"taken": more, "forget_at": minute + _KEPT}}],
            upsert=True,
            return_document=ReturnDocument.BEFORE,
        )
        return int(before["taken"]) if before else 0
