"""The ledger: the one way in which a job changes. Stores changes, then does what follows from those that were stored.

What follows: the fleet's view of the slot, the facts and orders on the bus, metrics and a log line, and a nudge to
whoever can go on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Protocol

from gridloom_contract.vocabulary import State
from gridloom_kit.batch import GroupCommit
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.post import Post
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.tally import Tally
from gridloom_scheduler.under_way import UnderWay


class Changes(Protocol):
    """Where changes are stored."""

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """Store each change whose job is still as it was seen; say which."""
        ...


class Ledger:
    """Stores changes and carries out what follows from them."""

    def __init__(self, store: Changes, fleet: Fleet, post: Post, doorbell: Doorbell, catalogue: Catalogue) -> None:
        self._store = store
        self._fleet = fleet
        self._post = post
        self._doorbell = doorbell
        self._tally = Tally(catalogue)
        self.under_way = UnderWay()

    async def commit(self, changes: Sequence[Change], foretold: Collection[str] = ()) -> list[bool]:
        """Store the changes and follow up on those that won. Returns which did."""
        won = await self._store.apply(changes)
        stored = [change for change, is_won in zip(changes, won, strict=True) if is_won]
        self._settle(stored)
        self._post.changed(stored, foretold)
        return won

    def order(self, claims: Sequence[Change]) -> None:
        """Send the orders of claims that are being stored."""
        self._post.order(claims)

    def accepted(self, jobs: Sequence[JobRecord], decided: Sequence[Change]) -> None:
        """Do what follows from new jobs that are stored, some of them claimed (and ordered), or held."""
        self._settle(decided)
        self._post.accepted(jobs, decided)
        self._tally.accepted(jobs)
        known = {change.before.id for change in decided}
        routes = {job.route for job in jobs if job.id not in known and job.state is State.QUEUED}
        if routes:
            self._doorbell.ring(routes)

    def _settle(self, changes: Sequence[Change]) -> None:
        """Bring memory up to date with changes that are stored."""
        routes: set[str] = set()
        for change in changes:
            routes |= self._follow_up(change)
        if routes:
            self._doorbell.ring(routes)
        self._tally.changed(changes)

    def _follow_up(self, change: Change) -> set[str]:
        """Bring the fleet up to date and return the routes on which others may go on."""
        after = change.after
        routes = {after.route} if after.state is State.QUEUED else set()
        worker = change.frees_worker
        if worker is None:
            self._fleet.board(after)
        elif self._fleet.land(change.before) is None:
            self._doorbell.look_again(worker)
        else:
            self._doorbell.nudge()
        return routes


class Together:
    """The ledger for those who change a job each: what comes while one write is under way is stored by the next."""

    def __init__(self, writing: GroupCommit[Change, bool], under_way: UnderWay) -> None:
        self._writing = writing
        self._under_way = under_way

    async def settled(self, job: str) -> None:
        """Return once nothing about the job is being stored that somebody knows already."""
        await self._under_way.settled((job,))

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Store the changes and follow up on those that won. Returns which did."""
        return await asyncio.gather(*map(self._writing.submit, changes))
