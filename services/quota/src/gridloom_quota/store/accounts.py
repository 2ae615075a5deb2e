"""Accounts by id and what their journals copy to other collections: reservations and ended grants."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from gridloom_kit.mongo import Database
from gridloom_quota.record import Account, Booking, a_new_account, to_document
from gridloom_quota.store.indexes import ACCOUNTS, GRANTS, RESERVATIONS

_DUPLICATE = 11000


class AccountStore:
    """Every change of an account is one compare-and-set on its version."""

    def __init__(self, database: Database) -> None:
        self._accounts = database[ACCOUNTS]
        self._bookings = database[RESERVATIONS]
        self._grants = database[GRANTS]

    async def load(self, accounts: Collection[str]) -> dict[str, Account]:
        """Return all these accounts; one that nobody has heard of is a new one, of version 0."""
        found = self._accounts.find({"_id": {"$in": list(accounts)}})
        known = {document["_id"]: msgspec.convert(document, Account) async for document in found}
        return {account: known.get(account) or a_new_account(account) for account in accounts}

    async def swap(self, accounts: Sequence[Account]) -> set[str]:
        """Store accounts of which nobody else has stored this version. Returns those that somebody else has."""
        # With `upsert` a lost comparison shows itself: the document is there already, under another version.
        updates = [
            ReplaceOne({"_id": account.id, "version": account.version - 1}, to_document(account), upsert=True)
            for account in accounts
        ]
        return await _refused_of(self._accounts, updates, [account.id for account in accounts])

    async def bookings(self, bookings: Collection[str]) -> dict[str, Booking]:
        """Return those of the reservations that exist, by id."""
        if not bookings:
            return {}
        found = self._bookings.find({"_id": {"$in": list(bookings)}})
        return {document["_id"]: msgspec.convert(document, Booking) async for document in found}

    async def copy(self, accounts: Iterable[Account]) -> None:
        """Write what the journals of these accounts say; what is there already, or newer, stays."""
        bookings = [booking for account in accounts for booking in account.journal]
        updates = [_newer(booking) for booking in bookings]
        await _refused_of(self._bookings, updates, [booking.id for booking in bookings])
        ended = [grant for account in accounts for grant in account.ended_grants]
        if ended:
            await self._grants.bulk_write(
                [ReplaceOne({"_id": grant.id}, to_document(grant), upsert=True) for grant in ended], ordered=False
            )

    async def due(self, now: datetime, limit: int) -> list[str]:
        """Return accounts at which somebody must look, the one that waits longest first."""
        found = self._accounts.find({"due_at": {"$lte": now}}, {"_id": 1}).sort("due_at", 1).limit(limit)
        return [document["_id"] async for document in found]

    async def holding(self, grants: Collection[str]) -> dict[str, str]:
        """Return whose account each of these grants is open in."""
        found = self._accounts.find({"grants._id": {"$in": list(grants)}}, {"grants._id": 1})
        return {grant["_id"]: document["_id"] async for document in found for grant in document["grants"]}

    async def lapsed(self, before: datetime, limit: int) -> list[Booking]:
        """Return reservations that are open since before a time."""
        found = self._bookings.find({"is_open": True, "at": {"$lt": before}}).limit(limit)
        return [msgspec.convert(document, Booking) async for document in found]

    async def is_in_use(self, plan: str) -> bool:
        """Say whether some account is on the plan."""
        return await self._accounts.find_one({"plan": plan}, {"_id": 1}) is not None

    async def wake(self, plan: str, now: datetime) -> None:
        """Have the accounts of a plan looked at of which something was refused."""
        # The version goes up too: whoever decides on the old plan at this moment must decide again.
        wake = {"$set": {"wake_at": now, "due_at": now}, "$unset": {"told": ""}, "$inc": {"version": 1}}
        await self._accounts.update_many({"plan": plan, "refused": {"$gt": 0}}, wake)

    async def reserved_tokens(self) -> int:
        """Return how many tokens are reserved in all accounts."""
        total: dict[str, Any] = {"$group": {"_id": None, "tokens": {"$sum": "$reserved"}}}
        return sum([row["tokens"] async for row in self._accounts.aggregate([total])])


def _newer(booking: Booking) -> ReplaceOne[dict[str, Any]]:
    older = {"_id": booking.id, "version": {"$lt": booking.version}}
    return ReplaceOne(older, to_document(booking), upsert=True)


async def _refused_of(collection: Any, updates: Sequence[ReplaceOne[dict[str, Any]]], keys: Sequence[str]) -> set[str]:
    """Carry the updates out and return the keys of those whose comparison failed."""
    if not updates:
        return set()
    try:
        await collection.bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        failures = details.get("writeErrors", [])
        if any(failure["code"] != _DUPLICATE for failure in failures) or details.get("writeConcernErrors"):
            raise
        return {keys[failure["index"]] for failure in failures}
    return set()
