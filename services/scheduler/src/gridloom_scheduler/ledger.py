"""The ledger: the one way in which a job changes. Stores changes, then does what follows from those that were stored.

What follows: the fleet's view of the slot, the facts and orders on the bus, metrics and a log line, and a nudge to
whoever can go on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

from gridloom_contract.events import JobAssigned, JobFinished, JobHeld, JobRequeued
from gridloom_contract.fault import FaultCode
from gridloom_contract.vocabulary import State
from gridloom_kit.batch import GroupCommit
from gridloom_kit.log import get_logger
from gridloom_scheduler import metrics
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.post import Post
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.under_way import UnderWay

log = get_logger()
Counted = TypeVar("Counted")

_AFTERWARDS_SECONDS = 0.002

_SYSTEM_FAULTS = frozenset({FaultCode.WORKER_LOST, FaultCode.INTERNAL, FaultCode.UNAVAILABLE, FaultCode.NO_CAPACITY})
_USER_FAULTS = frozenset({FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA})


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
        self._catalogue = catalogue
        self.under_way = UnderWay()

    async def commit(self, changes: Sequence[Change], foretold: Collection[str] = ()) -> list[bool]:
        """Store the changes and follow up on those that won. Returns which did."""
        won = await self._store.apply(changes)
        stored = [change for change, is_won in zip(changes, won, strict=True) if is_won]
        self._settle(stored)
        self._post.changed(stored, foretold)
        return won

    async def commit_reported(self, changes: Sequence[Change]) -> list[bool]:
        """Store what workers report, as `commit` does. Who waits on the line may be told meanwhile how their job ends:
        the worker has the result and reports it until it is stored, so nothing less than two crashes at once undoes it.
        """
        foretold = await self._post.foretell(changes)
        for change in changes:
            if change.before.id in foretold:
                self._fleet.land(change.before)  # for their next one, which may be here before the write is done
        with self.under_way.writing(foretold):
            won = await self.commit(changes, foretold)
        vain = sum(not won for change, won in zip(changes, won, strict=True) if change.before.id in foretold)
        metrics.ends_foretold_in_vain.inc(vain)
        return won

    def order(self, claims: Sequence[Change]) -> None:
        """Send the orders of claims that are being stored."""
        self._post.order(claims)

    def accepted(self, jobs: Sequence[JobRecord], decided: Sequence[Change]) -> None:
        """Do what follows from new jobs that are stored, some of them claimed (and ordered), or held."""
        self._settle(decided)
        self._post.accepted(jobs, decided)
        self._afterwards(self._count_new, jobs)
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
        self._afterwards(self._count, changes)

    def _afterwards(self, count: Callable[[Sequence[Counted]], None], what: Sequence[Counted]) -> None:
        """Count and log once everything is on its way: nobody waits for that."""
        asyncio.get_running_loop().call_later(_AFTERWARDS_SECONDS, count, what)

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

    def _learn(self, job: JobRecord) -> None:
        """Learn from a whole answer how long those of its model usually are."""
        if job.usage is not None and job.state is State.SUCCEEDED and job.finish_reason != "length":
            self._catalogue.usual_output.saw(job.model, job.usage.tokens_out)

    def _count_new(self, jobs: Sequence[JobRecord]) -> None:
        for job in jobs:
            label = self._catalogue.label(job.model)
            metrics.jobs_submitted.labels(label, self._catalogue.kind_of(job.model)).inc()

    def _count(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._count_one(change)

    def _count_one(self, change: Change) -> None:
        after = change.after
        model = self._catalogue.label(after.model)
        for fact in change.facts:
            if isinstance(fact, JobAssigned):
                metrics.queue_wait_seconds.labels(model).observe(fact.waited_ms / 1000)
                log.info(
                    "job.assigned", job=after.id, worker=fact.worker, attempt=after.attempt, waited_ms=fact.waited_ms
                )
            elif isinstance(fact, JobRequeued):
                metrics.job_attempts.labels(fact.reason).inc()
                log.info("job.requeued", job=after.id, worker=fact.worker, attempt=fact.attempt, reason=fact.reason)
            elif isinstance(fact, JobHeld):
                metrics.jobs_held.labels(fact.reason).inc()
            elif isinstance(fact, JobFinished):
                self._learn(after)
                metrics.jobs_terminal.labels(model, str(fact.state), _blame(after)).inc()
                log.info("job.finished", job=after.id, state=str(fact.state), reason=fact.reason, attempt=after.attempt)


def _blame(job: JobRecord) -> str:
    if job.error is None:
        return ""
    if job.error.code in _SYSTEM_FAULTS:
        return "system"
    return "user" if job.error.code in _USER_FAULTS else "worker"


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
