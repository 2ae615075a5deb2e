"""The scheduler's collections and indexes, declared in one place."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from gridloom_contract.registry import COLLECTIONS, SCHEDULER
from gridloom_contract.vocabulary import State
from gridloom_domain.job import Reason

JOBS, WORKERS, MODELS, RETELLINGS, BATCHES = COLLECTIONS[SCHEDULER]

_QUEUED: dict[str, Any] = {"state": str(State.QUEUED)}
_HELD: dict[str, Any] = {"state": str(State.HELD)}
_FOR_QUOTA: dict[str, Any] = {**_HELD, "reason": str(Reason.QUOTA)}
_OF_ACCOUNT = [("state", 1), ("reason", 1), ("account", 1)]
_ORDER = [("priority", DESCENDING), ("fair", ASCENDING), ("_id", ASCENDING)]
_LISTED = [("dialect", 1), ("listed", 1)]
_NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]

INDEXES: dict[str, list[IndexModel]] = {
    JOBS: [
        # The waiting jobs of a route in order. `state` is a key too, so that counting them never reads a document.
        IndexModel([("state", 1), ("route", 1), *_ORDER], name="waiting", partialFilterExpression=_QUEUED),
        IndexModel(
            [("state", 1), ("route", 1), ("account", 1), *_ORDER],
            name="heads_of_accounts",
            partialFilterExpression=_QUEUED,
        ),
        IndexModel([("lease.worker", 1)], name="in_hand", sparse=True),
        IndexModel([("timeout_at", 1)], name="timeouts", sparse=True),
        IndexModel([("expires_at", 1)], name="deadlines", sparse=True),
        IndexModel([("capacity_at", 1)], name="unclaimed", sparse=True),
        IndexModel(
            [("state", 1), ("reason", 1), ("held_until", 1)], name="holds_by_reason", partialFilterExpression=_HELD
        ),
        # Accounts over quota, without reading their jobs: there may be very many of those.
        IndexModel([*_OF_ACCOUNT, ("held_until", 1)], name="over_quota", partialFilterExpression=_FOR_QUOTA),
        IndexModel(
            [*_OF_ACCOUNT, ("priority", DESCENDING), ("_id", ASCENDING)],
            name="next_over_quota",
            partialFilterExpression=_FOR_QUOTA,
        ),
        # Two replicas that claim at the same time cannot give an account more than its parallel places.
        IndexModel(
            [("account", 1), ("berth", 1)],
            name="berths",
            unique=True,
            partialFilterExpression={"berth": {"$exists": True}},
        ),
        IndexModel([("unpublished_since", 1)], name="outbox", sparse=True),
        IndexModel([("ended_at", 1)], name="holding_keys", partialFilterExpression={"holds_keys": True}),
        # What has not ended comes first, by id: for telling all facts again. The rest in order of time: for accounting.
        IndexModel([("ended_at", ASCENDING), ("_id", ASCENDING)], name="ended"),
        # An account may have very many jobs that no listing shows: none of these is ever looked at for one.
        IndexModel([("account", 1), *_LISTED, *_NEWEST_FIRST], name="newest_in_dialect"),
        IndexModel([("account", 1), ("state", 1), *_LISTED, *_NEWEST_FIRST], name="newest_by_state_in_dialect"),
        IndexModel(
            [("account", 1), ("tag", 1), *_NEWEST_FIRST],
            name="newest_by_tag",
            partialFilterExpression={"tag": {"$exists": True}},
        ),
        IndexModel(
            [("parent", 1), ("state", 1), ("_id", 1)],
            name="children",
            partialFilterExpression={"parent": {"$exists": True}},
        ),
    ],
    WORKERS: [
        IndexModel([("shard", 1)], name="shard"),
        IndexModel([("online", 1), ("last_seen_at", 1)], name="online"),
    ],
    MODELS: [IndexModel([("family", 1)], name="family")],
    BATCHES: [
        IndexModel([("due_at", 1)], name="due", sparse=True),
        IndexModel([("account", 1), ("dialect", 1), *_NEWEST_FIRST], name="newest_in_dialect"),
    ],
}
