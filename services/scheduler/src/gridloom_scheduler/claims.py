"""Claims: a job for a worker of ours, its slot and its tokens taken in memory before the claim is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from gridloom_contract import subjects
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import State
from gridloom_contract.work import WorkOrder
from gridloom_domain.budgets import HeldUntil
from gridloom_kit.jetstream import Outgoing
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.outbox import order_message
from gridloom_scheduler.providers import Providers
from gridloom_scheduler.quotas import Quotas, allowance_of
from gridloom_scheduler.record import JobRecord, Lease
from gridloom_scheduler.rules import holds, transitions
from gridloom_scheduler.rules.allowances import Allowance
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.enclosures import NOTHING_ENCLOSED, Enclosures, has_enclosures
from gridloom_scheduler.rules.placement import Board
from gridloom_scheduler.rules.routes import rivals_of
from gridloom_scheduler.rules.submission import queue_of
from gridloom_scheduler.rules.transitions import Placement


def order_of(change: Change) -> Outgoing:
    """Return the order for a job that has just been claimed."""
    return order_for(change.after, change.enclosures)


def order_for(job: JobRecord, enclosures: Enclosures = NOTHING_ENCLOSED) -> Outgoing:
    """Return the order for a job that is claimed: for one attempt always the same. Raises ValueError for others."""
    if job.lease is None or job.served_model is None:
        raise ValueError(f"job {job.id} is not claimed")
    order = WorkOrder(
        job=job.id,
        worker=job.lease.worker,
        attempt=job.attempt,
        token=job.lease.token,
        model=job.served_model,
        task=msgspec.json.decode(job.task, type=Task),
        timeout_seconds=job.timeout_seconds,
        until=job.timeout_at,
        attachments=enclosures.attachments,
        task_url=enclosures.task_url,
    )
    return order_message(subjects.work(job.lane, job.served_model, job.lease.worker, job.id), order)


MayWait = Callable[[Iterable[str]], bool]
"""Whether others may stand before a job that comes now on one of these routes."""


class Claims:
    """Makes claims: the change that gives a job to a worker of ours, its slot and its tokens taken in memory first."""

    def __init__(self, fleet: Fleet, providers: Providers, chance: Chance, quotas: Quotas, may_wait: MayWait) -> None:
        self._fleet = fleet
        self._quotas = quotas
        self._providers = providers
        self._chance = chance
        self._may_wait = may_wait

    def at_once(self, jobs: Sequence[JobRecord]) -> dict[str, Change]:
        """Return what becomes of new jobs at once, by job: claims of those that need not wait, since a worker is free
        and nobody stands before them; holds of those known to be over quota.
        """
        board, changes = self.board(), {}
        for job in jobs:
            change = self._at_once(job, board) if job.state is State.QUEUED else None
            if change is not None:
                changes[job.id] = change
        return changes

    def _at_once(self, job: JobRecord, board: Board) -> Change | None:
        held = self._quotas.over_quota_until(job)
        if held is not None:
            return holds.over_quota(job, held, self._chance.moment())
        if has_enclosures(job) or self._quotas.has_berths(job.account):
            return None
        if self._may_wait(rivals_of(job.route, job.family)) or not self._fleet.has_credit(job.route):
            return None
        change = self.decide(job, board)
        if change is not None and change.after.lease is not None:
            self.won(change)
        return change

    def board(self) -> Board:
        """Return the seats with credit, ready for one round of placements."""
        return Board(self._fleet.seats_on, self._providers.others_serve)

    def decide(self, job: JobRecord, board: Board) -> Change | None:
        """Return what becomes of a waiting job: its claim, with the slot reserved and its tokens too; that it is held,
        its account being over quota; or None if it stays where it is.
        """
        allowance = self._quotas.allow(job)
        if isinstance(allowance, HeldUntil):
            return holds.over_quota(job, allowance, self._chance.moment())
        if allowance is None:
            return None
        placement = board.place(job)
        claim = self._claim(job, placement, allowance) if placement else None
        if claim is None:
            self._quotas.take_back(allowance)
        return claim

    def _claim(self, job: JobRecord, placement: Placement, allowance: Allowance) -> Change | None:
        seat = self._fleet.get(placement.worker)
        if seat is None or seat.session is None:
            return None
        token = self._chance.leases.of(job.account, job.id, job.attempt + 1, seat.id)
        lease = Lease(worker=seat.id, token=token, session=seat.session)
        change = transitions.assigned(job, placement, lease, self._chance.moment(), allowance)
        self._fleet.reserve(change.after)
        return change

    def still_holds(self, change: Change) -> bool:
        """Whether the worker of a claim that is not stored yet is still the same process, and ours."""
        lease = change.after.lease
        seat = self._fleet.get(lease.worker) if lease else None
        return lease is not None and seat is not None and seat.session == lease.session

    def dropped(self, change: Change) -> None:
        """Give the slot of a claim back, and what it took of its plan: it was certainly not stored."""
        self.doubted(change)
        self._quotas.take_back(allowance_of(change))

    def doubted(self, change: Change) -> None:
        """Give the slot of a claim back of which nobody knows whether it was stored."""
        self._fleet.land(change.after)

    def won(self, change: Change) -> None:
        """Move fair time on for a claim that was stored."""
        self._chance.fair.dispatched(queue_of(change.before), change.before.fair)
