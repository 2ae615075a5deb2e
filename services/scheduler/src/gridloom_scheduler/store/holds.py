"""Jobs that are held for their account's quota, and what accounts have in hand. All through indexes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from gridloom_contract.vocabulary import State
from gridloom_domain.job import Reason
from gridloom_kit.mongo import Database, Document
from gridloom_scheduler.record import JobRecord, job_of
from gridloom_scheduler.rules.allowances import Moored
from gridloom_scheduler.store.indexes import JOBS

_FOR_QUOTA: Document = {"state": str(State.HELD), "reason": str(Reason.QUOTA)}
EARLIEST: list[dict[str, Any]] = [
    {"$match": _FOR_QUOTA},
    {"$sort": {"state": 1, "reason": 1, "account": 1, "held_until": 1}},
    {"$group": {"_id": "$account", "until": {"$first": "$held_until"}}},
]
"""MongoDB skips from account to account, however many jobs each has."""
_IN_HAND = {"$in": [str(State.CLAIMED), str(State.RUNNING)]}
_IN_ORDER = [("priority", -1), ("_id", 1)]
_NO_TEXTS = {"events": 0, "task": 0, "echo": 0, "output": 0}
_EMPTY_TASK = {"task": "{}"}


class HoldStore:
    """Questions about accounts over quota, and about accounts that may have only so many jobs in hand."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JOBS]

    async def earliest(self) -> dict[str, datetime]:
        """Return every account of which jobs are held for its quota, with the earliest time at which one may go."""
        return {row["_id"]: row["until"] async for row in self._jobs.aggregate(EARLIEST, hint="over_quota")}

    async def next_held(self, account: str, limit: int) -> list[JobRecord]:
        """Return jobs of an account that are held for its quota, those that should go first."""
        found = self._jobs.find({**_FOR_QUOTA, "account": account}, _NO_TEXTS).sort(_IN_ORDER).limit(limit)
        return [job_of(document | _EMPTY_TASK) async for document in found]

    async def waiting_among(self, jobs: Collection[str]) -> dict[str, bool]:
        """Return those of the jobs that wait, and whether it is for their account's quota."""
        states = {"$in": [str(State.HELD), str(State.QUEUED)]}
        found = self._jobs.find({"_id": {"$in": list(jobs)}, "state": states}, {"state": 1, "reason": 1})
        return {job["_id"]: _is_for_quota(job) async for job in found}

    async def moored(self, accounts: Collection[str]) -> dict[str, Moored]:
        """Return what each of these accounts has in hand."""
        query = {"account": {"$in": list(accounts)}, "state": _IN_HAND}
        found: dict[str, list[int | None]] = {}
        async for job in self._jobs.find(query, {"_id": 0, "account": 1, "berth": 1}):
            found.setdefault(job["account"], []).append(job.get("berth"))
        return {
            account: Moored(len(berths), frozenset(berth for berth in berths if berth is not None))
            for account, berths in found.items()
        }


def _is_for_quota(job: Document) -> bool:
    return bool(job["state"] == _FOR_QUOTA["state"] and job.get("reason") == _FOR_QUOTA["reason"])
