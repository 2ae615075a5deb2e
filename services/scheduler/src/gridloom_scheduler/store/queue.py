"""The waiting jobs: who is next, what waits where, and how many are ahead. All through one index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any

from gridloom_contract.jobs import ListJobs
from gridloom_contract.vocabulary import State
from gridloom_kit.mongo import Database, Document
from gridloom_scheduler.record import JobRecord, job_of
from gridloom_scheduler.rules.enclosures import Easy
from gridloom_scheduler.rules.fairness import Queue
from gridloom_scheduler.store.indexes import JOBS

FURTHEST_POSITION = 10_000
"""Nobody is told a position beyond this one; counting further would cost more than it tells."""

_QUEUED = str(State.QUEUED)
_ORDER = [("priority", -1), ("fair", 1), ("_id", 1)]
_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]
_FOR_ORDERS = {"events": 0, "echo": 0, "output": 0}
_NO_OUTPUT = {"events": 0, "output": 0}
_NO_TEXTS = {"events": 0, "output": 0, "task": 0}
_EMPTY_TASK = {"task": "{}"}
_MOST_ROUTES = 1_000
_MOST_ACCOUNTS = 100
"""MongoDB merges the jobs of so many accounts in order without reading all of them."""


def heads_on(route: str) -> list[Document]:
    """Return the question for the first waiting job of each account on a route. MongoDB skips over all others."""
    return [
        {"$match": {"state": _QUEUED, "route": route}},
        {"$sort": {"state": 1, "route": 1, "account": 1, "priority": -1, "fair": 1}},
        {"$group": {"_id": "$account", "priority": {"$first": "$priority"}, "fair": {"$first": "$fair"}}},
    ]


def _may_go(account: str, accounts: Collection[str] | None, stuck: Collection[str]) -> bool:
    return account not in stuck and (accounts is None or account in accounts)


class QueueStore:
    """Questions about waiting jobs, and the lists of jobs of an account."""

    def __init__(self, database: Database) -> None:
        self._jobs = database[JOBS]

    async def next_in(
        self, route: str, limit: int, accounts: Collection[str] | None, easy: Easy | None = None
    ) -> list[JobRecord]:
        """Return the jobs next in order on a route, of these accounts only if given, and only `easy` ones if given."""
        query: Document = {"state": _QUEUED, "route": route}
        if accounts is not None:
            query["account"] = {"$in": sorted(accounts)}
        for field in easy.without if easy else ():
            query[field] = {"$exists": False}
        found = self._jobs.find(query, _FOR_ORDERS).sort(_ORDER).limit(limit)
        return [job_of(document) async for document in found]

    async def next_past(
        self, route: str, limit: int, accounts: Collection[str] | None, stuck: Collection[str]
    ) -> list[JobRecord]:
        """Return the jobs next in order on a route, of these accounts only if given, and without those that are stuck.

        Costs one look at each account that waits there, however many jobs it has.
        """
        found = self._jobs.aggregate(heads_on(route), hint="heads_of_accounts")
        heads = [head async for head in found if _may_go(head["_id"], accounts, stuck)]
        # The next `limit` jobs belong to the accounts with the first `limit` heads.
        heads.sort(key=lambda head: (-head["priority"], head["fair"]))
        first = [head["_id"] for head in heads[: min(limit, _MOST_ACCOUNTS)]]
        return await self.next_in(route, limit, first) if first else []

    async def routes_waiting(self, routes: Collection[str]) -> set[str]:
        """Return those of the routes on which some job waits."""
        query = {"state": _QUEUED, "route": {"$in": sorted(routes)}}
        if await self._jobs.find_one(query, {"_id": 1}) is None:
            return set()
        found = await asyncio.gather(*(self._route_waits(route) for route in routes))
        return {route for route, waits in zip(routes, found, strict=True) if waits}

    async def _route_waits(self, route: str) -> bool:
        return await self._jobs.find_one({"state": _QUEUED, "route": route}, {"_id": 1}) is not None

    async def all_routes_waiting(self) -> list[str]:
        """Return every route on which some job waits, by skipping from one to the next."""
        return [route async for route in self._skip_through()]

    async def _skip_through(self) -> AsyncIterator[str]:
        last = ""
        for _ in range(_MOST_ROUTES):
            query = {"state": _QUEUED, "route": {"$gt": last}}
            found = await self._jobs.find_one(query, {"_id": 0, "route": 1}, sort=[("route", 1)])
            if found is None:
                return
            last = found["route"]
            yield last

    async def count_on(self, routes: Sequence[str], **more: Any) -> int:
        """Return how many jobs wait on these routes, counting no further than `FURTHEST_POSITION`."""
        query = {"state": _QUEUED, "route": {"$in": list(routes)}, **more}
        return await self._jobs.count_documents(query, limit=FURTHEST_POSITION)

    async def position_of(self, job: JobRecord, rivals: Sequence[str]) -> int:
        """Return the place of a queued job among those of `rivals`, from 1 to `FURTHEST_POSITION`."""
        ahead = await asyncio.gather(
            self.count_on(rivals, priority={"$gt": job.priority}),
            self.count_on([job.route], priority=job.priority, fair={"$lt": job.fair}),
            self.count_on([job.route], priority=job.priority, fair=job.fair, _id={"$lt": job.id}),
        )
        return min(sum(ahead) + 1, FURTHEST_POSITION)

    async def smallest_fair(self, queue: Queue) -> float | None:
        """Return the fair time at the head of a queue, or None if nothing waits there."""
        query = {"state": _QUEUED, "route": queue.route, "priority": queue.priority}
        found = await self._jobs.find_one(query, {"_id": 0, "fair": 1}, sort=[("fair", 1)])
        return found["fair"] if found else None

    async def last_of_account(self, account: str, queue: Queue) -> tuple[float, float] | None:
        """Return fair time and cost of the account's last job in a queue, or None if none waits."""
        query = {"state": _QUEUED, "account": account, "route": queue.route, "priority": queue.priority}
        found = await self._jobs.find_one(query, {"_id": 0, "fair": 1, "cost": 1}, sort=[("fair", -1)])
        return (found["fair"], found["cost"]) if found else None

    async def waiting_of(self, account: str, until: datetime, limit: int) -> list[JobRecord]:
        """Return waiting jobs, held ones too, of an account that were created until then."""
        states = [str(State.QUEUED), str(State.HELD)]
        query = {"account": account, "state": {"$in": states}, "created_at": {"$lte": until}}
        return [job_of(document) async for document in self._jobs.find(query, _NO_OUTPUT).limit(limit)]

    async def page_of(self, wanted: ListJobs) -> tuple[list[JobRecord], int]:
        """Return one page of an account's jobs, newest first, without texts, and how many there are on all pages.

        A page of no jobs is only a count.
        """
        query = _query_of(wanted)
        if wanted.per_page == 0:
            return [], await self._jobs.count_documents(query)
        skip = (wanted.page - 1) * wanted.per_page
        found = self._jobs.find(query, _NO_TEXTS).sort(_NEWEST_FIRST).skip(skip).limit(wanted.per_page)
        jobs = [job_of(document | _EMPTY_TASK) async for document in found]
        return jobs, await self._jobs.count_documents(query)


def _query_of(wanted: ListJobs) -> Document:
    asked: Document = {
        "account": wanted.account,
        "state": {"$in": [str(state) for state in wanted.states]} if wanted.states else None,
        "dialect": {"$in": sorted(wanted.dialects)} if wanted.dialects else None,
        "listed": wanted.listed,
        "tag": wanted.tag,
        "parent": wanted.parent,
        "created_at": {"$gte": wanted.since} if wanted.since else None,
    }
    return {name: value for name, value in asked.items() if value is not None}
