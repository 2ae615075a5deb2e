"""The delivery log as its account sees it, and replays out of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gridloom_contract.webhooks import Delivery, DeliveryState, ListDeliveries, ReplayDeliveries
from gridloom_kit.mongo import Database, Document
from gridloom_webhook.record import COMPLETED
from gridloom_webhook.store.documents import shown
from gridloom_webhook.store.indexes import DELIVERIES

_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]


class DeliveryLog:
    """Reads everything, changes only what is replayed."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database[DELIVERIES]

    async def page(self, question: ListDeliveries) -> tuple[list[Delivery], int]:
        """Return one page of an account's deliveries, newest first, and the number of all that match."""
        query: Document = {"account": question.account}
        if question.delivery is not None:
            query["_id"] = question.delivery
        if question.job is not None:
            query["job"] = question.job
        if question.state is not None:
            query["state"] = str(question.state)
        found = self._deliveries.find(query, {"body": 0}).sort(_NEWEST_FIRST)
        skipped = found.skip((question.page - 1) * question.per_page).limit(question.per_page)
        page = [shown(document) async for document in skipped]
        return page, int(await self._deliveries.count_documents(query))

    async def replay(self, order: ReplayDeliveries, now: datetime) -> int:
        """Make what is ordered due now, from the beginning of the schedule. Returns how many there are.

        What is being sent at this moment is left alone, as are intermediate events: they are never repeated.
        """
        change = {
            "$set": {"state": str(DeliveryState.PENDING), "next_at": now, "tries": 0},
            "$unset": {"expire_at": "", "delivered_at": ""},
        }
        return int((await self._deliveries.update_many(_replayed(order), change)).modified_count)

    async def lanes_and_endpoints(self, order: ReplayDeliveries) -> tuple[list[str], list[str]]:
        """Return the lanes and the endpoints of what is ordered to be replayed."""
        query = _replayed(order)
        lanes: list[str] = await self._deliveries.distinct("lane", query)
        endpoints: list[str] = await self._deliveries.distinct("endpoint", query)
        return lanes, endpoints


def _replayed(order: ReplayDeliveries) -> Document:
    query: Document = {"account": order.account, "event": COMPLETED, "lease": {"$exists": False}}
    created: dict[str, Any] = {}
    if order.since is not None:
        created["$gte"] = order.since
    if order.until is not None:
        created["$lt"] = order.until
    if created:
        query["created_at"] = created
    if order.state is not None:
        query["state"] = str(order.state)
    if order.deliveries:
        query["_id"] = {"$in": list(order.deliveries)}
    return query
