"""Accounts' files in MongoDB: objects among others, which belong to nobody's job."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from gridloom_blob.record import Blob, Phase
from gridloom_blob.store.blobs import BlobStore, blob_of
from gridloom_blob.store.indexes import BLOBS
from gridloom_contract.blobs import Purpose
from gridloom_contract.files import ListFiles
from gridloom_kit.mongo import Database, Document

_THERE = {"$in": [str(Phase.SEALED), str(Phase.ATTACHED)]}


class FileStore:
    """Every write is majority-journaled."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._blobs = database[BLOBS]
        self.objects = blobs

    async def insert(self, file: Blob) -> Blob:
        """Store a new file and return it, or the object that has its id already."""
        try:
            await self.objects.insert(file)
        except DuplicateKeyError:
            return await self.objects.find(file.id) or file
        return file

    async def renew(self, file: Blob, upload_until: datetime, check_at: datetime) -> Blob:
        """Wait longer for the upload of an open file."""
        values = {"upload_until": upload_until, "check_at": check_at}
        await self._blobs.update_one({"_id": file.id, "phase": str(Phase.OPEN)}, {"$set": values})
        return replace(file, upload_until=upload_until, check_at=check_at)

    async def page_of(self, wanted: ListFiles, after: Blob | None, now: datetime, limit: int) -> list[Blob]:
        """Return files of an account that are there, in order of time, those beyond `after`."""
        way, beyond = (1, "$gt") if wanted.oldest_first else (-1, "$lt")
        query: Document = {"account": wanted.account, "purpose": str(Purpose.FILE), "phase": _THERE}
        query["expires_at"] = {"$gt": now}
        if wanted.label is not None:
            query["label"] = wanted.label
        if after is not None:
            past = {"created_at": {beyond: after.created_at}}
            query["$or"] = [past, {"created_at": after.created_at, "_id": {beyond: after.id}}]
        found = self._blobs.find(query).sort([("created_at", way), ("_id", way)]).limit(limit)
        return [blob_of(document) async for document in found]
