"""Batches that are being written. One that is open has all it takes for anybody to finish it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime

import msgspec

from gridloom_contract.events import JobFinished
from gridloom_kit.mongo import FORGETTABLE, Database, Document
from gridloom_usage.rules.batches import Batch
from gridloom_usage.rules.lines import BatchId
from gridloom_usage.store.indexes import BATCHES

_facts_of = msgspec.json.Decoder(tuple[JobFinished, ...])
_MOST_AT_ONCE = 10_000


class BatchStore:
    """Batches from their opening to their end."""

    def __init__(self, database: Database) -> None:
        self._batches = database[BATCHES]
        # A batch that comes back after a failover is finished again, which changes nothing.
        self._done = database.get_collection(BATCHES, write_concern=FORGETTABLE)

    async def open(self, batch: Batch) -> None:
        """Remember what is about to be written, before any of it is."""
        facts = msgspec.json.encode(batch.facts)
        await self._batches.insert_one({"_id": _id_of(batch.id), "opened_at": batch.opened_at, "facts": facts})

    async def close(self, batch: BatchId) -> None:
        """Forget a batch that is written entirely."""
        await self._done.delete_one({"_id": _id_of(batch)})

    async def opened_before(self, moment: datetime) -> AsyncIterator[Batch]:
        """Yield the open batches that were opened before `moment`, oldest first."""
        async for document in self._batches.find({"opened_at": {"$lt": moment}}).sort("opened_at", 1):
            yield _batch_of(document)

    async def open_among(self, batches: Collection[BatchId]) -> set[BatchId]:
        """Return those of the batches that are open."""
        found: set[BatchId] = set()
        wanted = list(batches)
        for start in range(0, len(wanted), _MOST_AT_ONCE):
            ids = [_id_of(batch) for batch in wanted[start : start + _MOST_AT_ONCE]]
            found |= {
                BatchId(**document["_id"]) async for document in self._batches.find({"_id": {"$in": ids}}, {"_id": 1})
            }
        return found


def _id_of(batch: BatchId) -> Document:
    return {"writer": batch.writer, "number": batch.number}


def _batch_of(document: Document) -> Batch:
    return Batch(
        id=BatchId(**document["_id"]), opened_at=document["opened_at"], facts=_facts_of.decode(document["facts"])
    )
