"""The assigner: matches waiting jobs to the free slots of this replica's workers, whenever either appears.

Nothing is polled: the doorbell says on which routes something happened. A round asks the queue once per such route
that a worker with credit serves, places the jobs by pure rules, claims them all in one bulk compare-and-set, and posts
the orders. Jobs that another replica claimed first are simply not there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler.claiming import Claiming
from gridloom_scheduler.claims import Claims
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.lookout import Found, Lookout
from gridloom_scheduler.post import is_claim
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.turns import Turns

log = get_logger()

_AFTER_FAILURE_SECONDS = 0.2


class Assigner:
    """Places waiting jobs whenever the doorbell rings."""

    def __init__(self, lookout: Lookout, fleet: Fleet, claims: Claims, claiming: Claiming, doorbell: Doorbell) -> None:
        self._lookout = lookout
        self._fleet = fleet
        self._claims = claims
        self._claiming = claiming
        self._doorbell = doorbell
        self._turns = Turns()
        self._tasks = asyncio.TaskGroup()

    async def look_everywhere(self) -> None:
        """Catch what a lost wake has left behind."""
        self._doorbell.look_at(await self._lookout.everywhere())

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
        with self._doorbell.look(routes):
            found = dict(zip(routes, await asyncio.gather(*map(self._lookout.look, routes)), strict=True))
            claims, holds = self._decide({route: look.jobs for route, look in found.items() if look.jobs})
            placed = await self._claiming.claim(claims, self._tasks)
            placed |= await self._claiming.hold(holds)
            return self._keep_looking(found, placed)

    def _decide(self, waiting: Mapping[str, Sequence[JobRecord]]) -> tuple[list[Change], list[Change]]:
        """Return the claims of jobs that get a worker now, and the holds of those whose account is over quota."""
        board, claims, holds = self._claims.board(), list[Change](), list[Change]()
        for job in self._turns.order(waiting):
            change = self._claims.decide(job, board) if self._claiming.may_go(job) else None
            if change is None:
                continue
            if is_claim(change):
                self._turns.took(job.route, waiting)
                claims.append(change)
            else:
                holds.append(change)
        return claims, holds

    def _keep_looking(self, found: Mapping[str, Found], placed: Mapping[str, bool]) -> bool:
        again, left = False, set()
        for route, look in found.items():
            if look.is_full or not all(placed.get(job.id) for job in look.jobs):
                left.add(route)
            is_beaten = any(placed.get(job.id) is False for job in look.jobs)
            is_new = any(placed.get(job.id) for job in look.jobs) or bool(self._lookout.newly_stuck(look))
            again = again or is_beaten or (look.is_full and is_new)
        self._doorbell.waiting |= left
        self._doorbell.announce(route for route in left if not self._fleet.has_credit(route))
        return again
