"""The assigner: matches waiting jobs to the free slots of this replica's workers, whenever either appears.

Nothing is polled: the doorbell says on which routes something happened. A round asks the queue once per such route
that a worker with credit serves, places the jobs by pure rules, claims them all in one bulk compare-and-set, and posts
the orders. Jobs that another replica claimed first are simply not there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler.claiming import Claiming
from gridloom_scheduler.claims import Claims
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet, Seat
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.enclosures import Easy
from gridloom_scheduler.rules.turns import Turns

log = get_logger()

_SPARE = 8
"""So many more jobs are looked at than can be placed: some may not suit the workers that are free."""
_MOST_AT_ONCE = 256
_AFTER_FAILURE_SECONDS = 0.2


class Waiting(Protocol):
    """The waiting jobs."""

    async def next_in(
        self, route: str, limit: int, accounts: Collection[str] | None, easy: Easy | None = None
    ) -> list[JobRecord]:
        """Return the jobs next in order on a route."""
        ...

    async def routes_waiting(self, routes: Collection[str]) -> set[str]:
        """Return those of the routes on which some job waits."""
        ...


class Assigner:
    """Places waiting jobs whenever the doorbell rings."""

    def __init__(self, queue: Waiting, fleet: Fleet, claims: Claims, claiming: Claiming, doorbell: Doorbell) -> None:
        self._queue = queue
        self._fleet = fleet
        self._claims = claims
        self._claiming = claiming
        self._doorbell = doorbell
        self._turns = Turns()
        self._tasks = asyncio.TaskGroup()

    async def look_everywhere(self) -> None:
        """Catch what a lost wake has left behind, with one query while nothing waits."""
        routes = {route for seat in self._fleet if seat.credit > 0 for route in seat.routes}
        if routes:
            self._doorbell.look_at(await self._queue.routes_waiting(routes))

    async def run(self, stop: asyncio.Event) -> None:
        """Assign until told to stop."""
        rung = self._doorbell.rung
        async with self._tasks as tasks:
            tasks.create_task(stop.wait()).add_done_callback(lambda _: rung.set())
            while not stop.is_set():
                await rung.wait()
                rung.clear()
                await self._assign(stop)

    async def _assign(self, stop: asyncio.Event) -> None:
        before = set(self._doorbell.waiting)
        try:
            while not stop.is_set() and await self._round():
                pass
        except DatabaseError as error:
            log.warning("assigner.round_failed", err=str(error))
            await asyncio.sleep(_AFTER_FAILURE_SECONDS)
            self._doorbell.look_at(before)

    async def _round(self) -> bool:
        """Place what can be placed now. Returns whether more may be placed at once."""
        routes = [route for route in self._doorbell.waiting if self._fleet.has_credit(route)]
        if not routes:
            return False
        # Forgotten before looking: whoever adds a job after the look notes its route again.
        self._doorbell.waiting.difference_update(routes)
        found = dict(zip(routes, await asyncio.gather(*(self._look(route) for route in routes)), strict=True))
        claims = self._place({route: jobs for route, (jobs, _) in found.items() if jobs})
        placed = await self._claiming.claim(claims, self._tasks)
        return self._keep_looking(found, placed)

    async def _look(self, route: str) -> tuple[list[JobRecord], bool]:
        """Return jobs for the workers with credit on a route, and whether more may wait there."""
        seats = self._fleet.seats_on(route)
        limit = min(sum(seat.credit for seat in seats) + _SPARE, _MOST_AT_ONCE)
        accounts = _only_patrons(seats)
        jobs = await self._queue.next_in(route, limit, accounts)
        is_full = len(jobs) == limit
        if is_full and all(job.excluded or not self._claiming.may_go(job) for job in jobs):
            # Those at the head wait for workers that have not failed them yet, or for URLs: look past them.
            jobs += await self._queue.next_in(route, limit, accounts, self._claiming.easy)
        return jobs, is_full

    def _place(self, waiting: Mapping[str, Sequence[JobRecord]]) -> list[Change]:
        board, claims = self._claims.board(), []
        for job in self._turns.order(waiting):
            placement = board.place(job) if self._claiming.may_go(job) else None
            claim = self._claims.claim(job, placement) if placement else None
            if claim is not None:
                self._turns.took(job.route, waiting)
                claims.append(claim)
        return claims

    def _keep_looking(self, found: Mapping[str, tuple[list[JobRecord], bool]], placed: Mapping[str, bool]) -> bool:
        again, left = False, set()
        for route, (jobs, is_full) in found.items():
            if is_full or not all(placed.get(job.id) for job in jobs):
                left.add(route)
            is_beaten = any(placed.get(job.id) is False for job in jobs)
            again = again or is_beaten or (is_full and any(placed.get(job.id) for job in jobs))
        self._doorbell.waiting |= left
        self._doorbell.announce(route for route in left if not self._fleet.has_credit(route))
        return again


def _only_patrons(seats: Sequence[Seat]) -> frozenset[str] | None:
    """Return the only accounts that these workers serve; None if one of them serves everybody."""
    patrons: set[str] = set()
    for seat in seats:
        if seat.patrons is None:
            return None
        patrons |= seat.patrons
    return frozenset(patrons)
