"""The usage service's collections and indexes, declared in one place."""

from __future__ import annotations

from pymongo import IndexModel

from gridloom_contract.registry import COLLECTIONS, USAGE

LEDGER, ROLLUPS, BATCHES, WATERMARKS = COLLECTIONS[USAGE]

INDEXES: dict[str, list[IndexModel]] = {
    LEDGER: [IndexModel([("account", 1), ("ended_at", 1)], name="endings_of_account")],
    ROLLUPS: [IndexModel([("_id.account", 1), ("_id.day", 1)], name="days_of_account")],
    BATCHES: [IndexModel([("opened_at", 1)], name="oldest")],
}
