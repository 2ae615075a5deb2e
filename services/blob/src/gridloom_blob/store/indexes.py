"""The blob service's collections and indexes, declared in one place."""

from __future__ import annotations

from pymongo import ASCENDING, DESCENDING, IndexModel

from gridloom_contract.blobs import Purpose
from gridloom_contract.registry import BLOB, COLLECTIONS

BLOBS, ENDED_JOBS = COLLECTIONS[BLOB]

INDEXES: dict[str, list[IndexModel]] = {
    BLOBS: [
        IndexModel([("check_at", ASCENDING)], name="due"),
        IndexModel([("job", ASCENDING)], name="of_job"),
        # All that counting an account's holdings reads.
        IndexModel([("account", ASCENDING), ("phase", ASCENDING), ("size_bytes", ASCENDING)], name="holdings"),
        IndexModel(
            [("account", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
            name="newest_files",
            partialFilterExpression={"purpose": str(Purpose.FILE)},
        ),
    ],
    ENDED_JOBS: [IndexModel([("account", ASCENDING), ("ended_at", ASCENDING)], name="oldest_of_account")],
}
