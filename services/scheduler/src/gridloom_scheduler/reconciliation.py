"""Reconciliation: sets the fleet in memory right by reading the jobs in hand again, and stops work nobody wants.

Memory may have missed a lost wake, a write of unknown outcome, or another replica's change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from gridloom_kit.log import get_logger
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet, Seat
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord, WorkerRecord

log = get_logger()


class Jobs(Protocol):
    """The jobs in hand, as stored."""

    async def in_hand_of(self, workers: Iterable[str]) -> list[JobRecord]:
        """Return the claimed and running jobs of these workers."""
        ...


class Workers(Protocol):
    """Where workers are kept."""

    async def find(self, worker: str) -> WorkerRecord | None:
        """Return the worker, or None."""
        ...


class Reconciliation:
    """Compares memory with MongoDB."""

    def __init__(self, fleet: Fleet, jobs: Jobs, workers: Workers, recall: Recall, doorbell: Doorbell) -> None:
        self._fleet = fleet
        self._jobs = jobs
        self._workers = workers
        self._recall = recall
        self._doorbell = doorbell

    async def all(self) -> None:
        """Look at every worker of ours."""
        await self.of([seat.id for seat in self._fleet])

    async def asked_for(self) -> None:
        """Look at the workers another replica named, and at those that hold what we do not know of."""
        named, self._doorbell.recheck = self._doorbell.recheck, set()
        for worker in named:
            record = await self._workers.find(worker)
            if worker not in self._doorbell.recheck:  # else it has changed meanwhile, and is looked at again
                self._take_note(worker, record)
        holding = [seat for seat in self._fleet if seat.strays]
        await self.of(named | {seat.id for seat in holding})
        for seat in holding:
            await self._stop_strays(seat)

    async def of(self, workers: Collection[str]) -> None:
        """Take over what is stored of these workers' jobs, and drop what is not."""
        if not workers:
            return
        started = self._fleet.now()
        stored = await self._jobs.in_hand_of(workers)
        for job in stored:
            self._take_over(job)
        held = {(job.lease.worker, job.id) for job in stored if job.lease}
        for worker in workers:
            seat = self._fleet.get(worker)
            if seat is not None:
                self._drop_ghosts(seat, {job for owner, job in held if owner == worker}, started)

    def _take_note(self, worker: str, record: WorkerRecord | None) -> None:
        """Take over what an operator has decided about a worker."""
        seat = self._fleet.get(worker)
        if record is None or record.revoked_at is not None:
            self._fleet.forget(worker)
        elif seat is not None and seat.draining != record.draining:
            seat.draining = record.draining
            self._doorbell.look_at(seat.routes)

    def _take_over(self, job: JobRecord) -> None:
        known = self._fleet.flight(job.lease.worker, job.id) if job.lease else None
        if known is None or known.seq < job.seq:
            self._fleet.board(job)

    def _drop_ghosts(self, seat: Seat, held: set[str], started: float) -> None:
        ghosts = [
            flight.job
            for name, flight in seat.flights.items()
            if name not in held and flight.sure_at is not None and flight.sure_at < started
        ]
        for job in ghosts:
            self._fleet.land(job)
        if ghosts:
            log.info("fleet.ghosts_dropped", worker=seat.id, jobs=len(ghosts))
            self._doorbell.nudge()

    async def _stop_strays(self, seat: Seat) -> None:
        strays, seat.strays = seat.strays, frozenset()
        for held in strays:
            flight = seat.flights.get(held.job)
            if flight is None or flight.job.attempt != held.attempt:
                await self._recall.tell(seat.id, held.job, held.attempt, "stale")
