"""The blob service's collections and indexes, declared in one place."""

from __future__ import annotations

from pymongo import ASCENDING, IndexModel

from gridloom_contract.registry import BLOB, COLLECTIONS

BLOBS, ENDED_JOBS = COLLECTIONS[BLOB]

INDEXES: dict[str, list[IndexModel]] = {
    BLOBS: [
        IndexModel([("check_at", ASCENDING)], name="due"),
        IndexModel([("job", ASCENDING)], name="of_job"),
        # All that counting an account's holdings reads.
        IndexModel([("account", ASCENDING), ("phase", ASCENDING), ("size_bytes", ASCENDING)], name="holdings"),
    ],
    ENDED_JOBS: [IndexModel([("account", ASCENDING), ("ended_at", ASCENDING)], name="oldest_of_account")],
}
