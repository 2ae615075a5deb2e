"""Repeats: orders that JetStream did not take, or may have forgotten, are sent again as they were.

The job stays as it is stored, the same attempt under the same lease, and nobody is blamed. A worker that has the order
knows it, and a stream that has it takes no second one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from gridloom_kit.jetstream import Outgoing
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler import metrics
from gridloom_scheduler.claims import order_for
from gridloom_scheduler.fleet import Fleet, Flight, Seat
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.liveness import Loss, loss_of_unsent, may_repeat

log = get_logger()

_AT_ONCE = 50
"""So few tasks are in memory at a time."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 0.8


class Jobs(Protocol):
    """The jobs as they are stored."""

    async def claimed(self, jobs: Collection[str]) -> list[JobRecord]:
        """Return those of the jobs that a worker has and has not started, with their tasks."""
        ...


class Line(Protocol):
    """The way into the streams."""

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands right now."""
        ...

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        """Store messages; say for each whether it is stored."""
        ...


class Repeats:
    """Sends doubtful orders of our workers again. Costs nothing while there are none."""

    def __init__(self, fleet: Fleet, jobs: Jobs, line: Line) -> None:
        self._fleet = fleet
        self._jobs = jobs
        self._line = line
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for doubts and settle them, until told to stop."""
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(stop.wait())
            stopping.add_done_callback(lambda _: self._fleet.doubt.set())
            while not stop.is_set():
                await self._fleet.doubt.wait()
                self._fleet.doubt.clear()
                await self._settle()

    async def _settle(self) -> None:
        due = list(self._due())
        if self._line.is_connected:
            for first in range(0, len(due), _AT_ONCE):
                await self._repeat(due[first : first + _AT_ONCE])
        if not any(flight.is_doubtful for flight in due):
            self._pause_seconds = _FIRST_PAUSE_SECONDS
            return
        await asyncio.sleep(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        self._fleet.doubt.set()

    def _due(self) -> Iterator[Flight]:
        for seat in self._fleet:
            if seat.has_doubts:
                seat.has_doubts = any(flight.is_doubtful for flight in seat.flights.values())
                yield from (flight for flight in seat.flights.values() if _is_due(seat, flight))

    async def _repeat(self, flights: Sequence[Flight]) -> None:
        try:
            claimed = {job.id: job for job in await self._jobs.claimed([flight.job.id for flight in flights])}
        except DatabaseError as error:
            log.warning("orders.not_repeated", orders=len(flights), err=str(error))
            return
        # From here to the sending nothing else happens: what was canceled meanwhile is not sent.
        for flight in flights:
            if not self._holds(claimed.get(flight.job.id)):
                flight.doubted_at = None  # it has changed without us: others find out how
        orders = [order_for(job) for job in claimed.values() if self._holds(job)]
        stored = await self._line.publish_many(orders)
        for order, is_stored in zip(orders, stored, strict=True):
            self._fleet.order_went(order.message, is_stored)
        metrics.orders_repeated.inc(stored.count(True))
        log.warning("orders.repeated", orders=len(orders), stored=stored.count(True))

    def _holds(self, job: JobRecord | None) -> bool:
        """Whether a job, as it is stored, is still that of its worker's flight."""
        if job is None or job.lease is None:
            return False
        known = self._fleet.flight(job.lease.worker, job.id)
        return known is not None and (known.attempt, known.lease) == (job.attempt, job.lease)


def _is_due(seat: Seat, flight: Flight) -> bool:
    """Whether the order is to be sent again now. What JetStream took once, the worker may have: it is heard first.

    What it did not take is not sent any more once the vigil may be about to take it back.
    """
    if not flight.is_doubtful or flight.doubted_at is None or flight.sure_at is None:
        return False
    is_repeatable = may_repeat(flight.job, seat.session)
    if flight.is_unsent:
        missing = seat.last_heard - flight.doubted_at
        return loss_of_unsent(is_repeatable=is_repeatable, missing_seconds=missing) is Loss.NONE
    return is_repeatable and seat.last_heard > max(flight.doubted_at, seat.greeted_at)
