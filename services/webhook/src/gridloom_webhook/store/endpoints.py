"""Endpoints in trouble. An endpoint whose last delivery arrived has no record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from gridloom_kit.log import get_logger
from gridloom_kit.mongo import Database, Document
from gridloom_webhook.record import Trouble
from gridloom_webhook.store.documents import trouble_of
from gridloom_webhook.store.indexes import ENDPOINTS

log = get_logger()

_FORGOTTEN = timedelta(days=30)
_ENABLED = {"disabled_at": {"$exists": False}}


class EndpointStore:
    """Written when an endpoint begins to fail, fails on, is disabled, and recovers."""

    def __init__(self, database: Database) -> None:
        self._endpoints = database[ENDPOINTS]

    async def find(self, endpoints: Sequence[str]) -> list[Trouble | None]:
        """Return the trouble each endpoint is in, or None."""
        found = {one["_id"]: one async for one in self._endpoints.find({"_id": {"$in": list(set(endpoints))}})}
        return [trouble_of(found[endpoint]) if endpoint in found else None for endpoint in endpoints]

    async def put(self, trouble: Trouble) -> None:
        """Store the trouble of an endpoint; one that is disabled stays as it is."""
        values: Document = {name: value for name, value in asdict(trouble).items() if value is not None}
        del values["endpoint"]
        change: Document = {"$set": values}
        if trouble.disabled_at:
            change["$unset"] = {"expire_at": ""}
        else:
            values["expire_at"] = trouble.last_failure_at + _FORGOTTEN
        try:
            await self._endpoints.update_one({"_id": trouble.endpoint, **_ENABLED}, change, upsert=True)
        except DuplicateKeyError:
            log.debug("endpoint.disabled_meanwhile")

    async def recovered(self, endpoint: str) -> None:
        """A delivery arrived: forget the trouble, unless it was disabled meanwhile."""
        await self._endpoints.delete_one({"_id": endpoint, **_ENABLED})

    async def enable(self, endpoints: Iterable[str]) -> None:
        """Forget the trouble of these endpoints, disabled or not."""
        await self._endpoints.delete_many({"_id": {"$in": list(endpoints)}})

    async def count_disabled(self) -> int:
        """Return how many endpoints are disabled."""
        return int(await self._endpoints.count_documents({"disabled_at": {"$exists": True}}))
