"""Providers: whether anybody may serve a job. Our own workers are known at once, others by the census."""

from __future__ import annotations

from gridloom_scheduler.census import Census
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.placement import can_serve


class Providers:
    """The workers that serve."""

    def __init__(self, fleet: Fleet, census: Census) -> None:
        self._fleet = fleet
        self._census = census

    def others_serve(self, job: JobRecord) -> bool:
        """Whether a worker that takes work, and has not failed the job yet, may serve it."""
        seats = [seat for seat in self._fleet.seats_of_route(job.route) if seat.takes_work]
        if any(seat.id not in job.excluded and can_serve(seat, job) for seat in seats):
            return True
        # Our own workers are known better here than in the census, dead ones included.
        return self._census.somebody_else_serves(job, but=[seat.id for seat in self._fleet])

    def is_served(self, job: JobRecord) -> bool:
        """Whether a worker that is online may serve the job, however busy it is."""
        seats = [seat for seat in self._fleet.seats_of_route(job.route) if seat.is_online and not seat.draining]
        if any(can_serve(seat, job) for seat in seats):
            return True
        return self._census.somebody_else_serves(job, but=[seat.id for seat in self._fleet])

    async def look_again(self) -> None:
        """Have the census taken now: a worker of another replica may have just come."""
        await self._census.refresh()
