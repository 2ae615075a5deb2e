"""Deliveries: inserted once an event, won by lease, ended by an outcome. Every change is a compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from gridloom_contract.webhooks import Attempt, DeliveryState
from gridloom_kit.mongo import FORGETTABLE, Database, Document
from gridloom_webhook.record import Claim, Delivery, Outcome
from gridloom_webhook.store.documents import delivery_document, delivery_of
from gridloom_webhook.store.indexes import DELIVERIES, PENDING

_DUPLICATE = 11000
_KEPT_ATTEMPTS = 30
_UNLEASED = {"lease": {"$exists": False}}
_NO_ATTEMPTS = {"attempts": 0}
_DUE_AT = {"next_at": 1, "size_bytes": 1}
_CLAIMED_BYTES = 2 * 1024 * 1024


Due = tuple[str, datetime, int]


class DeliveryStore:
    """Every write is majority-journaled. Ended deliveries expire `retention_seconds` later."""

    def __init__(self, database: Database, retention_seconds: float) -> None:
        self._deliveries = database[DELIVERIES]
        self._log = database.get_collection(DELIVERIES, write_concern=FORGETTABLE)
        self._retention = timedelta(seconds=retention_seconds)

    async def insert(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Store new deliveries. Returns which of them are new; the others are there already, unchanged."""
        writes = [InsertOne(self._as_document(one)) for one in deliveries]
        try:
            await self._deliveries.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            known = _duplicates(error)
            return [index not in known for index in range(len(deliveries))]
        return [True] * len(deliveries)

    async def claim(self, lane: str, now: datetime, lease: tuple[str, datetime], most: int) -> Claim:
        """Win the deliveries of a lane that are due, at most `most`, under `lease` (a new token, and when it ends)."""
        token, until = lease
        found = self._deliveries.find({**PENDING, "lane": lane}, _DUE_AT).sort("next_at", 1).limit(most + 1)
        seen = [(document["_id"], document["next_at"], document["size_bytes"]) async for document in found]
        due = _within_bytes([one for one in seen[:most] if one[1] <= now])
        rest = seen[len(due) :]
        next_at = rest[0][1] if rest else None
        if not due:
            return Claim((), next_at)
        change = {"$set": {"lease": token, "next_at": until}}
        writes = [UpdateOne({**PENDING, "_id": name, "next_at": at}, change) for name, at, _ in due]
        await self._deliveries.bulk_write(writes, ordered=False)
        ours = {**PENDING, "_id": {"$in": [name for name, *_ in due]}, "lease": token}
        won = [delivery_of(document) async for document in self._deliveries.find(ours, _NO_ATTEMPTS)]
        return Claim(tuple(won), next_at)

    async def record(self, outcomes: Sequence[Outcome]) -> list[bool]:
        """Store what became of attempts. False: the lease had passed to another replica, which tells the end."""
        writes = [self._recording(outcome) for outcome in outcomes]
        result = await self._deliveries.bulk_write(writes, ordered=False)
        if result.matched_count == len(outcomes):
            return [True] * len(outcomes)
        ids = [outcome.delivery.id for outcome in outcomes]
        found = self._deliveries.find({"_id": {"$in": ids}}, {"attempts": {"$slice": -3}, "body": 0})
        last = {one["_id"]: [attempt["at"] for attempt in one["attempts"]] async for one in found}
        return [outcome.attempt.at in last.get(outcome.delivery.id, []) for outcome in outcomes]

    async def hand_back(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Give up leases, so that the deliveries are due at once for any replica."""
        change = {"$set": {"next_at": now}, "$unset": {"lease": ""}}
        writes = [UpdateOne({**PENDING, "_id": one.id, "lease": one.lease}, change) for one in deliveries]
        await self._deliveries.bulk_write(writes, ordered=False)

    async def bury(self, endpoint: str, now: datetime) -> int:
        """Give up what waits for an endpoint that was disabled; what is being sent right now ends by itself."""
        change = {"$set": {"state": str(DeliveryState.DEAD), "expire_at": now + self._retention}}
        query = {**PENDING, **_UNLEASED, "endpoint": endpoint}
        return int((await self._deliveries.update_many(query, change)).modified_count)

    async def forget_signatures(self, kid: str) -> int:
        """Take the signature made with this API key from what is still to be sent."""
        return int(
            (await self._deliveries.update_many({**PENDING, "kid": kid}, {"$unset": {"vibe": ""}})).modified_count
        )

    async def keep_progress(self, delivery: Delivery, attempt: Attempt) -> None:
        """Keep an intermediate event that was sent in the log, without its body: it is never sent again."""
        is_delivered = attempt.result == "2xx"
        state = DeliveryState.DELIVERED if is_delivered else DeliveryState.DROPPED
        document = delivery_document(replace(delivery, body=b"", state=state, sent=1, tries=1))
        document |= {"attempts": [_attempt(attempt)], "expire_at": attempt.at + self._retention}
        document |= {"delivered_at": _ended_at(attempt)} if is_delivered else {}
        await self._log.replace_one({"_id": delivery.id}, document, upsert=True)

    async def horizon(self) -> list[tuple[str, datetime]]:
        """Return every lane that has pending deliveries, with when the first of them is due."""
        stages: list[dict[str, Any]] = [
            {"$match": PENDING},
            {"$sort": {"state": 1, "lane": 1, "next_at": 1}},
            {"$group": {"_id": "$lane", "next_at": {"$first": "$next_at"}}},
        ]
        return [(one["_id"], one["next_at"]) async for one in self._deliveries.aggregate(stages, hint="due")]

    async def count_pending(self, most: int) -> int:
        """Return how many deliveries wait, counting no further than `most`."""
        return int(await self._deliveries.count_documents(PENDING, limit=most, hint="due"))

    def _as_document(self, delivery: Delivery) -> Document:
        document = delivery_document(delivery)
        if delivery.state is not DeliveryState.PENDING:
            document["expire_at"] = delivery.created_at + self._retention
        return document

    def _recording(self, outcome: Outcome) -> UpdateOne:
        """A success counts whoever holds the lease by now; a failure only if it is still ours."""
        delivery, is_pending = outcome.delivery, outcome.state is DeliveryState.PENDING
        query: Document = {**PENDING, "_id": delivery.id}
        if outcome.state is not DeliveryState.DELIVERED:
            query["lease"] = delivery.lease
        values: Document = {"state": str(outcome.state)}
        unset = {"lease": ""}
        if is_pending:
            values |= {"next_at": outcome.next_at}
        else:
            values |= {"expire_at": outcome.attempt.at + self._retention}
            unset |= {"next_at": ""}
        if outcome.state is DeliveryState.DELIVERED:
            values |= {"delivered_at": _ended_at(outcome.attempt)}
        return UpdateOne(query, {"$set": values, "$unset": unset, **_logged(outcome)})


def _within_bytes(due: list[Due]) -> list[Due]:
    """Return the first of them whose bodies together are of moderate size, and one at least."""
    total = 0
    for place, (_, _, size) in enumerate(due):
        total += size
        if place and total > _CLAIMED_BYTES:
            return due[:place]
    return due


def _logged(outcome: Outcome) -> Document:
    return {
        "$inc": {"tries": 1, "sent": 1},
        "$push": {"attempts": {"$each": [_attempt(outcome.attempt)], "$slice": -_KEPT_ATTEMPTS}},
    }


def _attempt(attempt: Attempt) -> Document:
    found: Document = msgspec.to_builtins(attempt, builtin_types=(datetime,))
    return found


def _ended_at(attempt: Attempt) -> datetime:
    return attempt.at + timedelta(milliseconds=attempt.duration_ms)


def _duplicates(error: BulkWriteError) -> set[int]:
    """Return which writes found their delivery there already. Raises `error` if anything else went wrong."""
    failures = error.details["writeErrors"]
    if error.details.get("writeConcernErrors") or any(failure["code"] != _DUPLICATE for failure in failures):
        raise error
    return {failure["index"] for failure in failures}
