"""The vigil: takes jobs back from workers that are silent, and orders that their worker does not know of."""

from __future__ import annotations

from typing import Protocol

from gridloom_contract.vocabulary import State
from gridloom_contract.work import WorkerControl
from gridloom_kit.log import get_logger
from gridloom_scheduler import metrics
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Flight, Seat
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import endings
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.liveness import Loss, is_silent, loss_of, loss_of_unsent, may_repeat

log = get_logger()


class Workers(Protocol):
    """Where workers are kept."""

    async def went_offline(self, worker: str, session: str | None) -> None:
        """Note that a worker is silent, unless it has come back as another process."""
        ...


class Vigil:
    """Watches over the workers of this replica. Looks at memory only; writes when something is lost."""

    def __init__(self, doorbell: Doorbell, workers: Workers, ledger: Ledger, recall: Recall, chance: Chance) -> None:
        self._doorbell = doorbell
        self._fleet = doorbell.fleet
        self._workers = workers
        self._ledger = ledger
        self._recall = recall
        self._chance = chance

    async def look(self) -> None:
        """Look once after every worker. Whoever is cut off hears nobody, which says nothing about workers."""
        if not self._recall.is_possible:
            return
        now = self._chance.clock.monotonic()
        for seat in self._fleet:
            if not is_silent(max(seat.last_heard, self._fleet.heard_from), now, self._fleet.terms.lease_seconds):
                await self._take_back_lost(seat)
            elif seat.counts_as_online or seat.flights:
                await self._give_up(seat)

    async def _give_up(self, seat: Seat) -> None:
        session, seat.session, seat.counts_as_online = seat.session, None, False
        jobs = [flight.job for flight in _sure(seat)]
        log.warning("worker.lost", worker=seat.id, jobs=len(jobs))
        await self._recall.purge_all_of(seat.id)
        message = f"worker {seat.id} was silent for {self._fleet.terms.lease_seconds:g} s"
        taken = await self._take_back(jobs, message)
        metrics.leases_expired.inc(taken)
        await self._workers.went_offline(seat.id, session)
        self._doorbell.tell_of(seat.id)

    async def _take_back_lost(self, seat: Seat) -> None:
        """Take back what the worker, alive and introduced, has not listed for too long."""
        if not seat.is_online:
            return
        lost = {flight.job.id: self._loss_of(seat, flight) for flight in _sure(seat)}
        never_arrived = [flight.job for flight in _sure(seat) if lost[flight.job.id] is Loss.UNDELIVERED]
        if never_arrived:
            # First the order goes: a second one on the same subject would be refused.
            await self._recall.purge(never_arrived)
            log.warning("orders.lost", worker=seat.id, jobs=len(never_arrived))
            # Perhaps its consumers are gone, and what made them vanish went unnoticed: a hello makes them again.
            await self._recall.control(seat.id, WorkerControl(order="hello"))
            await self._commit([endings.undelivered(job, self._chance.moment()) for job in never_arrived])
        abandoned = [flight.job for flight in _sure(seat) if lost.get(flight.job.id) is Loss.ABANDONED]
        if abandoned:
            log.warning("jobs.abandoned", worker=seat.id, jobs=len(abandoned))
            await self._take_back(abandoned, f"worker {seat.id} does not have the job any more")

    async def _take_back(self, jobs: list[JobRecord], message: str) -> int:
        """Store that the worker lost these jobs. Returns for how many that was still so."""
        changes = [endings.after_loss(job, message, self._chance.moment()) for job in jobs]
        won = await self._commit(changes)
        await self._recall.stop([change.before for change in won], "lease_lost")
        return len(won)

    async def _commit(self, changes: list[Change]) -> list[Change]:
        stored = await self._ledger.commit(changes)
        # What is not as we saw it has changed without us: forget it here, the reconciliation finds what is true.
        for change, is_stored in zip(changes, stored, strict=True):
            if not is_stored:
                self._fleet.land(change.before)
        return [change for change, is_stored in zip(changes, stored, strict=True) if is_stored]

    def _loss_of(self, seat: Seat, flight: Flight) -> Loss:
        job, lease, doubted_at = flight.job, flight.job.lease, flight.doubted_at
        if flight.is_unsent and flight.is_doubtful and doubted_at is not None:
            missing = seat.last_heard - doubted_at
            return loss_of_unsent(is_repeatable=may_repeat(job, seat.session), missing_seconds=missing)
        if flight.seen_at is None:
            return Loss.NONE
        # Until it was doubted, nobody could have sent it again.
        since = max(flight.seen_at, seat.greeted_at, self._fleet.heard_from, doubted_at or flight.seen_at)
        missing = seat.last_heard - since
        same_session = lease is not None and lease.session == seat.session
        return loss_of(State(job.state), same_session=same_session, missing_seconds=missing)


def _sure(seat: Seat) -> list[Flight]:
    return [flight for flight in seat.flights.values() if flight.sure_at is not None]
