"""How far the ledger was compared with the jobs. It never goes back."""

from __future__ import annotations

from datetime import datetime

from gridloom_kit.mongo import Database
from gridloom_usage.rules.catching_up import BEGINNING, Mark
from gridloom_usage.store.indexes import WATERMARKS

_ENDINGS = "endings"


class WatermarkStore:
    """One document: the last ending that is known to be in the ledger with all before it."""

    def __init__(self, database: Database) -> None:
        self._marks = database[WATERMARKS]

    async def get(self) -> Mark:
        """Return how far it got; the beginning of time if it never did."""
        document = await self._marks.find_one({"_id": _ENDINGS})
        if document is None:
            return BEGINNING
        ended_at: datetime = document["mark"]["ended_at"]
        return Mark(ended_at=ended_at, job=document["mark"]["job"])

    async def advance(self, mark: Mark) -> None:
        """Move forward to `mark`, unless it is further already."""
        moved = {"mark": {"ended_at": mark.ended_at, "job": mark.job}}
        await self._marks.update_one({"_id": _ENDINGS}, {"$max": moved}, upsert=True)
