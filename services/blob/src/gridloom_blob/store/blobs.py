"""Objects in MongoDB: what may lie in the bucket. A key is here before anything can lie under it, and until it is gone.

Each transition is one compare-and-set on the phase.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from gridloom_blob.record import Blob, Holdings, Phase
from gridloom_blob.store.indexes import BLOBS
from gridloom_contract.blobs import Purpose
from gridloom_kit.mongo import Database, Document

_FIELDS = frozenset(field.name for field in fields(Blob))
_UNATTACHED = [str(Phase.OPEN), str(Phase.SEALED)]


class BlobStore:
    """Every write is majority-journaled."""

    def __init__(self, database: Database) -> None:
        self._blobs = database[BLOBS]

    async def insert(self, blob: Blob) -> None:
        """Store a new object: from now on bytes may lie under its upload key."""
        await self._blobs.insert_one(_document(blob))

    async def withdraw(self, blob: Blob) -> None:
        """Forget a new object whose URL was never given away."""
        await self._blobs.delete_one({"_id": blob.id, "phase": str(Phase.OPEN), "keys": [blob.upload_key]})

    async def find(self, blob: str) -> Blob | None:
        """Return an object, or None."""
        return _found(await self._blobs.find_one({"_id": blob}))

    async def find_all(self, blobs: Collection[str]) -> dict[str, Blob]:
        """Return those of the objects that there are, by id."""
        found = self._blobs.find({"_id": {"$in": list(blobs)}})
        return {document["_id"]: blob_of(document) async for document in found}

    async def holdings_of(self, account: str) -> Holdings:
        """Return what an account keeps. Doomed objects are not its concern any more."""
        phases = [str(phase) for phase in Phase if phase is not Phase.DOOMED]
        stages: list[Document] = [
            {"$match": {"account": account, "phase": {"$in": phases}}},
            {"$group": {"_id": "$phase", "objects": {"$sum": 1}, "size_bytes": {"$sum": "$size_bytes"}}},
        ]
        groups = [group async for group in self._blobs.aggregate(stages)]
        return Holdings(
            objects=sum(int(group["objects"]) for group in groups),
            size_bytes=sum(int(group["size_bytes"]) for group in groups),
            open_slots=sum(int(group["objects"]) for group in groups if group["_id"] == str(Phase.OPEN)),
        )

    async def files_of(self, account: str, job: str) -> int:
        """Return how many files a job has or waits for."""
        query = {"job": job, "account": account, "purpose": str(Purpose.IMAGE), "phase": {"$ne": str(Phase.DOOMED)}}
        return int(await self._blobs.count_documents(query))

    async def is_last(self, blob: Blob, now: datetime) -> bool:
        """Whether the job of this file waits for no other one: none is uploading, none on its way to be attached."""
        query = {
            "job": blob.job,
            "account": blob.account,
            "purpose": str(Purpose.IMAGE),
            "phase": {"$in": _UNATTACHED},
            "upload_until": {"$gt": now},
            "_id": {"$ne": blob.id},
        }
        return await self._blobs.find_one(query, {"_id": 1}) is None

    async def add_key(self, blob: Blob, key: str) -> bool:
        """Remember that bytes may lie under another key, too. False if the object is not open any more."""
        return await self._change(blob, (Phase.OPEN,), {"$push": {"keys": key}})

    async def seal(self, blob: Blob, sealed: Blob) -> Blob | None:
        """Make an open object what was found under its sealed key. None if it is not open any more."""
        values = {name: getattr(sealed, name) for name in ("key", "size_bytes", "content_type", "check_at")}
        return await self._turned(blob, Phase.OPEN, Phase.SEALED, values)

    async def attach(self, blob: Blob, check_at: datetime) -> bool:
        """Its job refers to it. False if it is doomed."""
        values: Document = {"phase": str(Phase.ATTACHED), "check_at": check_at}
        return await self._change(blob, (Phase.SEALED, Phase.ATTACHED), {"$set": values})

    async def drop_keys(self, blob: Blob, keys: Collection[str]) -> None:
        """Forget keys under which nothing lies and nothing can come to lie any more."""
        await self._blobs.update_one({"_id": blob.id}, {"$pull": {"keys": {"$in": list(keys)}}})

    async def doom(self, blob: Blob, why: str, now: datetime) -> Blob | None:
        """Give up an object. None if it has moved on meanwhile."""
        return await self._turned(blob, blob.phase, Phase.DOOMED, {"why": why, "doomed_at": now, "check_at": now})

    async def doom_those_of(self, jobs: Collection[str], why: str, now: datetime) -> int:
        """Give up all objects of these jobs. Returns how many there were."""
        query = {"job": {"$in": list(jobs)}, "phase": {"$ne": str(Phase.DOOMED)}}
        values = {"phase": str(Phase.DOOMED), "why": why, "doomed_at": now, "check_at": now}
        return int((await self._blobs.update_many(query, {"$set": values})).modified_count)

    async def due(self, now: datetime, limit: int) -> list[Blob]:
        """Return objects whose time to be looked at has come, the longest overdue first."""
        found = self._blobs.find({"check_at": {"$lte": now}}).sort("check_at", 1).limit(limit)
        return [blob_of(document) async for document in found]

    async def take(self, blob: Blob, until: datetime) -> Blob | None:
        """Be the one who looks at it, until `until`. None if somebody else is, or it has changed."""
        query = {"_id": blob.id, "check_at": blob.check_at, "phase": str(blob.phase)}
        return _found(await self._after(query, {"check_at": until}))

    async def postpone(self, blob: Blob, check_at: datetime) -> None:
        """Look at it again later, unless it changes meanwhile."""
        await self._change(blob, (blob.phase,), {"$set": {"check_at": check_at}})

    async def remove(self, blob: Blob) -> None:
        """Forget a doomed object of which nothing is left in the bucket."""
        await self._blobs.delete_one({"_id": blob.id, "phase": str(Phase.DOOMED)})

    async def count_due(self, now: datetime, most: int) -> int:
        """Return how many objects are overdue."""
        return int(await self._blobs.count_documents({"check_at": {"$lte": now}}, limit=most))

    async def _change(self, blob: Blob, phases: Collection[Phase], change: Document) -> bool:
        query = {"_id": blob.id, "phase": {"$in": [str(phase) for phase in phases]}}
        return (await self._blobs.update_one(query, change)).matched_count == 1

    async def _turned(self, blob: Blob, origin: Phase, target: Phase, values: Document) -> Blob | None:
        """The answer has what is stored then, keys that were added meanwhile included."""
        query = {"_id": blob.id, "phase": str(origin)}
        return _found(await self._after(query, {"phase": str(target), **values}))

    async def _after(self, query: Document, values: Document) -> Document | None:
        found: Document | None = await self._blobs.find_one_and_update(
            query, {"$set": values}, return_document=ReturnDocument.AFTER
        )
        return found


def _document(blob: Blob) -> Document:
    values: dict[str, Any] = {name: value for name, value in asdict(blob).items() if value is not None}
    identity = {"_id": values.pop("id"), "phase": str(blob.phase), "purpose": str(blob.purpose)}
    return {**values, **identity, "keys": list(blob.keys)}


def _found(document: Document | None) -> Blob | None:
    return None if document is None else blob_of(document)


def blob_of(document: Document) -> Blob:
    """Return the object of a MongoDB document."""
    values = {name: value for name, value in document.items() if name in _FIELDS}
    blob = Blob(**values, id=document["_id"])
    return replace(
        blob,
        keys=tuple(blob.keys),
        phase=Phase(blob.phase),
        purpose=Purpose(blob.purpose),
        size_bytes=int(blob.size_bytes),  # BSON's own integers would not go over the bus
    )
