"""The intake: accepts jobs. Concurrent submissions share one write, and each is answered once that write is journaled.

A job for which a worker of ours has a free slot, while nothing waits on its route, is stored as already claimed: that
saves the journaled write between accepting and assigning. Its order goes out while it is being stored, since the way to
the worker takes as long: should it never be stored, nobody is told that it was accepted, and what the worker reports on
it counts for nothing. While storing fails nothing goes out ahead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Protocol

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Acceptance, JobsSubmitted, Submission, SubmitJobs
from gridloom_domain.errors import Conflict
from gridloom_scheduler.claims import Claims
from gridloom_scheduler.drafting import Draft, Drafting
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.post import is_claim
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change


class Jobs(Protocol):
    """Where jobs are stored."""

    async def insert(self, jobs: Sequence[JobRecord]) -> set[str]:
        """Store new jobs; return the ids of those that are new."""
        ...

    async def many(self, jobs: Collection[str]) -> dict[str, JobRecord]:
        """Return those of the jobs that exist."""
        ...


class Intake:
    """Turns submissions into stored jobs."""

    def __init__(self, drafting: Drafting, pace: Pace, jobs: Jobs, claims: Claims, ledger: Ledger) -> None:
        self._drafting = drafting
        self._pace = pace
        self._jobs = jobs
        self._claims = claims
        self._ledger = ledger
        self._is_sure = True
        """Whether jobs could be stored when that was tried last."""

    async def accept(self, orders: list[SubmitJobs]) -> list[JobsSubmitted]:
        """Accept what several senders submit, in one write; the commit of a `GroupCommit`."""
        submissions = list(chain.from_iterable(order.jobs for order in orders))
        outcomes = iter(await self._accept(submissions))
        return [JobsSubmitted(outcomes=tuple(next(outcomes) for _ in order.jobs)) for order in orders]

    async def _accept(self, submissions: list[Submission]) -> list[Acceptance]:
        drafts = await self._drafting.draft(submissions)
        # The same job twice in one batch is a repeated request that overtook itself: only the first is a new job.
        first = {draft.id: draft for draft in reversed(drafts) if isinstance(draft, JobRecord)}
        placed = await self._pace.place(list(reversed(first.values())))
        known = await self._store(placed)
        again = [draft.id for draft in drafts if isinstance(draft, JobRecord) and draft.id not in known]
        known |= await self._jobs.many(again) if again else {}
        return [_outcome(item, draft, known) for item, draft in zip(submissions, drafts, strict=True)]

    async def _store(self, jobs: Sequence[JobRecord]) -> dict[str, JobRecord]:
        """Store the jobs, claimed where that is possible at once, and follow up. Returns the new ones, by id."""
        decided = self._claims.at_once(jobs)
        claims = [change for change in decided.values() if is_claim(change)]
        stored = {job.id: decided[job.id].after if job.id in decided else job for job in jobs}
        with self._ledger.under_way.writing([claim.before.id for claim in claims]):
            orders_are_out = self._is_sure
            if orders_are_out:
                self._ledger.order(claims)
            new = await self._insert(list(stored.values()), decided)
        if not orders_are_out:
            self._ledger.order([claim for claim in claims if claim.before.id in new])
        self._ledger.accepted(
            [job for job in jobs if job.id in new], [change for job, change in decided.items() if job in new]
        )
        return {job: stored[job] for job in new}

    async def _insert(self, jobs: Sequence[JobRecord], decided: Mapping[str, Change]) -> set[str]:
        """Store the jobs and return the ids of the new ones; what was decided on others is taken back."""
        self._is_sure = False
        try:
            new = await self._jobs.insert(jobs)
        except BaseException:
            for change in decided.values():
                self._claims.doubted(change)
            raise
        self._is_sure = True
        for job in decided.keys() - new:
            self._claims.dropped(decided[job])
        return new


def _outcome(item: Submission, draft: Draft, known: Mapping[str, JobRecord]) -> Acceptance:
    if isinstance(draft, FaultError):
        return Acceptance(job=item.job, fault=draft.fault)
    job = known.get(item.job)
    if job is None or job.account != item.account:
        return Acceptance(job=item.job, fault=Conflict(f"the job id {item.job} is taken", "job").fault)
    worker = job.lease.worker if job.lease is not None else None
    return Acceptance(job=job.id, state=job.state, created_at=job.created_at, worker=worker, attempt=job.attempt)
