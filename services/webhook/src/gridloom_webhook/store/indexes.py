"""The webhook service's collections and indexes, declared in one place."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from gridloom_contract.registry import COLLECTIONS, WEBHOOK
from gridloom_contract.webhooks import DeliveryState

SUBSCRIPTIONS, DELIVERIES, SECRETS, ENDPOINTS = COLLECTIONS[WEBHOOK]

PENDING: dict[str, Any] = {"state": str(DeliveryState.PENDING)}
_NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]
_EXPIRED = IndexModel([("expire_at", ASCENDING)], name="expired", expireAfterSeconds=0)

INDEXES: dict[str, list[IndexModel]] = {
    SUBSCRIPTIONS: [
        _EXPIRED,
        IndexModel([("kid", ASCENDING)], name="sealed_keys", partialFilterExpression={"sealed_key": {"$exists": True}}),
    ],
    DELIVERIES: [
        # The pending deliveries of a lane in the order in which they are due; and the first of each lane, by skipping.
        IndexModel(
            [("state", ASCENDING), ("lane", ASCENDING), ("next_at", ASCENDING)],
            name="due",
            partialFilterExpression=PENDING,
        ),
        IndexModel([("endpoint", ASCENDING)], name="pending_of_endpoint", partialFilterExpression=PENDING),
        IndexModel([("kid", ASCENDING)], name="pending_of_key", partialFilterExpression=PENDING),
        IndexModel([("account", ASCENDING), *_NEWEST_FIRST], name="newest"),
        IndexModel([("account", ASCENDING), ("state", ASCENDING), *_NEWEST_FIRST], name="newest_by_state"),
        IndexModel([("job", ASCENDING)], name="of_job"),
        _EXPIRED,
    ],
    SECRETS: [],
    ENDPOINTS: [IndexModel([("disabled_at", ASCENDING)], name="disabled", sparse=True), _EXPIRED],
}
