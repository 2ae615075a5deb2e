"""The quota service's collections and indexes, declared in one place."""

from __future__ import annotations

from typing import Any

from pymongo import IndexModel

from gridloom_contract.registry import COLLECTIONS, QUOTA

PLANS, ACCOUNTS, GRANTS, RESERVATIONS, RATES = COLLECTIONS[QUOTA]

_OPEN: dict[str, Any] = {"is_open": True}

INDEXES: dict[str, list[IndexModel]] = {
    PLANS: [IndexModel([("unsettled_at", 1)], name="unsettled", sparse=True)],
    ACCOUNTS: [
        IndexModel([("due_at", 1)], name="due", sparse=True),
        IndexModel([("grants._id", 1)], name="grants", sparse=True),
        IndexModel([("plan", 1), ("refused", 1)], name="refused", partialFilterExpression={"refused": {"$gt": 0}}),
    ],
    GRANTS: [
        IndexModel([("account", 1)], name="account"),
        IndexModel([("forget_at", 1)], name="forgotten", expireAfterSeconds=0),
    ],
    RESERVATIONS: [
        IndexModel([("account", 1)], name="open", partialFilterExpression=_OPEN),
        IndexModel([("at", 1)], name="lapse", partialFilterExpression=_OPEN),
        IndexModel([("grant", 1)], name="grant", sparse=True),
        IndexModel([("forget_at", 1)], name="forgotten", expireAfterSeconds=0),
    ],
    RATES: [IndexModel([("forget_at", 1)], name="forgotten", expireAfterSeconds=0)],
}
