"""Workers and the catalogue of models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from pymongo import ReturnDocument, UpdateOne

from gridloom_contract.work import WorkerHello
from gridloom_kit.mongo import FORGETTABLE, Database
from gridloom_scheduler.record import (
    Connection,
    ModelRecord,
    WorkerRecord,
    model_of,
    to_document,
    worker_of,
)
from gridloom_scheduler.store.indexes import MODELS, WORKERS


class WorkerStore:
    """Worker identities and what they last said of themselves."""

    def __init__(self, database: Database) -> None:
        self._workers = database[WORKERS]
        self._sightings = database.get_collection(WORKERS, write_concern=FORGETTABLE)

    async def enrol(self, worker: WorkerRecord) -> None:
        """Store a new worker."""
        await self._workers.insert_one(to_document(worker))

    async def find(self, worker: str) -> WorkerRecord | None:
        """Return the worker, or None."""
        document = await self._workers.find_one({"_id": worker})
        return worker_of(document) if document else None

    async def all(self) -> list[WorkerRecord]:
        """Return every worker that was ever enrolled, by name."""
        return [worker_of(document) async for document in self._workers.find().sort([("name", 1), ("_id", 1)])]

    async def of_shard(self, shard: int) -> list[WorkerRecord]:
        """Return the workers of a shard that may work."""
        found = self._workers.find({"shard": shard, "revoked_at": None})
        return [worker_of(document) async for document in found]

    async def online_since(self, since: datetime) -> list[WorkerRecord]:
        """Return the workers that are online and were seen since then."""
        found = self._workers.find({"online": True, "last_seen_at": {"$gte": since}, "revoked_at": None})
        return [worker_of(document) async for document in found]

    async def barred(self, workers: Collection[str]) -> set[str]:
        """Return those of the workers that may not work: revoked, or unknown."""
        allowed = self._workers.find({"_id": {"$in": list(workers)}, "revoked_at": None}, {"_id": 1})
        return set(workers) - {document["_id"] async for document in allowed}

    async def admit(self, worker: str, verifier: str, connection: Connection) -> bool:
        """Note where the worker connects, and say whether it may: it exists, is not revoked, and its token is right."""
        query = {"_id": worker, "verifier": verifier, "revoked_at": None}
        result = await self._sightings.update_one(query, {"$set": {"connection": to_document(connection)}})
        return result.matched_count == 1

    async def greet(self, worker: str, hello: WorkerHello, now: datetime) -> WorkerRecord | None:
        """Store what the worker says of itself and return it; None if it may not work."""
        said: dict[str, Any] = msgspec.to_builtins(
            {
                "online": True,
                "session": hello.session,
                "slots": hello.slots,
                "offers": hello.offers,
                "engine": hello.engine,
                "version": hello.version,
                "last_seen_at": now,
            },
            builtin_types=(datetime,),
        )
        return await self._change({"_id": worker, "revoked_at": None}, {"$set": said})

    async def revoke(self, worker: str, now: datetime) -> WorkerRecord | None:
        """Void the worker's token for ever and return the worker; None if there is none."""
        update = {"$set": {"revoked_at": now, "online": False}}
        changed = await self._change({"_id": worker, "revoked_at": None}, update)
        return changed or await self.find(worker)

    async def drain(self, worker: str, *, draining: bool) -> WorkerRecord | None:
        """Set whether the worker is given anything new and return it; None if there is none."""
        return await self._change({"_id": worker}, {"$set": {"draining": draining}})

    async def went_offline(self, worker: str, session: str | None) -> None:
        """Note that a worker is silent, unless another process of it has introduced itself meanwhile."""
        await self._workers.update_one({"_id": worker, "session": session}, {"$set": {"online": False}})

    async def saw(self, sightings: Mapping[str, Mapping[str, Any]]) -> None:
        """Note, cheaply, when workers were last heard and how fast they are: fields by worker."""
        updates = [
            UpdateOne({"_id": worker}, {"$set": msgspec.to_builtins(fields, builtin_types=(datetime,))})
            for worker, fields in sightings.items()
        ]
        if updates:
            await self._sightings.bulk_write(updates, ordered=False)

    async def _change(self, query: Mapping[str, Any], update: Mapping[str, Any]) -> WorkerRecord | None:
        document = await self._workers.find_one_and_update(query, update, return_document=ReturnDocument.AFTER)
        return worker_of(document) if document else None


class ModelStore:
    """Every model that any worker ever offered."""

    def __init__(self, database: Database) -> None:
        self._models = database[MODELS]

    async def all(self) -> list[ModelRecord]:
        """Return the catalogue by name."""
        return [model_of(document) async for document in self._models.find().sort("_id", 1)]

    async def named(self, names: Collection[str]) -> list[ModelRecord]:
        """Return the models of these names, and those of families of these names."""
        query = {"$or": [{"_id": {"$in": sorted(names)}}, {"family": {"$in": sorted(names)}}]}
        return [model_of(document) async for document in self._models.find(query)]

    async def offered(self, models: Iterable[ModelRecord]) -> None:
        """Add models to the catalogue, or widen who may know of them; when one was first seen never changes."""
        updates = [_widen(model) for model in models]
        if updates:
            await self._models.bulk_write(updates, ordered=False)


def _widen(model: ModelRecord) -> UpdateOne:
    said: dict[str, Any] = {"kind": model.kind, "features": list(model.features)}
    if model.context_tokens is not None:
        said["context_tokens"] = model.context_tokens
    if model.is_public:
        said["is_public"] = True
    # Whoever offered it first has named its family: no later worker can pull a model over into another one.
    first = {"family": model.family, "first_seen_at": model.first_seen_at}
    update: dict[str, Any] = {"$set": said, "$setOnInsert": first}
    widened = {"kinds": model.kinds, "accounts": model.accounts}
    update["$addToSet"] = {name: {"$each": list(values)} for name, values in widened.items() if values}
    return UpdateOne({"_id": model.id}, update, upsert=True)
