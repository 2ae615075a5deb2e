"""The lookout: finds the waiting jobs of a route that could be placed now, past those that could not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from gridloom_scheduler.claiming import Claiming
from gridloom_scheduler.fleet import Fleet, Seat
from gridloom_scheduler.quotas import Quotas
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.enclosures import Easy

_SPARE = 8
"""So many more jobs are looked at than can be placed: some may not suit the workers that are free."""
_MOST_AT_ONCE = 256


class Waiting(Protocol):
    """The waiting jobs."""

    async def next_in(
        self, route: str, limit: int, accounts: Collection[str] | None, easy: Easy | None = None
    ) -> list[JobRecord]:
        """Return the jobs next in order on a route."""
        ...

    async def next_past(
        self, route: str, limit: int, accounts: Collection[str] | None, stuck: Collection[str]
    ) -> list[JobRecord]:
        """Return the jobs next in order on a route, without those of some accounts."""
        ...

    async def routes_waiting(self, routes: Collection[str]) -> set[str]:
        """Return those of the routes on which some job waits."""
        ...


class Found(NamedTuple):
    """Jobs that wait on a route. `is_full`: there may be more. `stuck` are accounts known to have no room now."""

    jobs: list[JobRecord]
    is_full: bool
    stuck: set[str]


class Lookout:
    """Looks at the queue for the assigner."""

    def __init__(self, queue: Waiting, fleet: Fleet, claiming: Claiming, quotas: Quotas) -> None:
        self._queue = queue
        self._fleet = fleet
        self._claiming = claiming
        self._quotas = quotas

    async def everywhere(self) -> set[str]:
        """Return on which routes of workers with credit jobs wait, with one query while nothing does."""
        routes = {route for seat in self._fleet if seat.credit > 0 for route in seat.routes}
        return await self._queue.routes_waiting(routes) if routes else set()

    async def look(self, route: str) -> Found:
        """Return jobs for the workers with credit on a route."""
        seats = self._fleet.seats_on(route)
        credit = sum(seat.credit for seat in seats)
        limit = min(credit + _SPARE, _MOST_AT_ONCE)
        accounts = _only_patrons(seats)
        jobs = await self._queue.next_in(route, limit, accounts)
        is_full = len(jobs) == limit
        if is_full and all(job.excluded or not self._claiming.may_go(job) for job in jobs):
            # Those at the head wait for workers that have not failed them yet, or for URLs: look past them.
            jobs += await self._queue.next_in(route, limit, accounts, self._claiming.easy)
        stuck = await self._stuck(jobs)
        if is_full and stuck and sum(job.account not in stuck for job in jobs) < credit:
            # Those at the head belong to accounts that may have nothing more now: look past these too.
            known = {job.id for job in jobs}
            past = await self._queue.next_past(route, limit, accounts, stuck)
            jobs += [job for job in past if job.id not in known]
            await self._quotas.count_berths(job.account for job in past)
        return Found(jobs, is_full, stuck)

    async def _stuck(self, jobs: Sequence[JobRecord]) -> set[str]:
        await self._quotas.count_berths(job.account for job in jobs)
        return self.newly_stuck(Found(list(jobs), is_full=False, stuck=set()))

    def newly_stuck(self, found: Found) -> set[str]:
        """Return the accounts of these jobs that turned out to have no room."""
        return self._quotas.stuck(job.account for job in found.jobs) - found.stuck


def _only_patrons(seats: Sequence[Seat]) -> frozenset[str] | None:
    """Return the only accounts that these workers serve; None if one of them serves everybody."""
    patrons: set[str] = set()
    for seat in seats:
        if seat.patrons is None:
            return None
        patrons |= seat.patrons
    return frozenset(patrons)
