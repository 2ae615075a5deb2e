"""The intake: accepts jobs. Concurrent submissions share one write, and each is answered once that write is journaled.

A job for which a worker of ours has a free slot, while nothing waits on its route, is stored as already claimed: that
saves the journaled write between accepting and assigning, and with it most of the time a synchronous request waits.
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
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change

Claimed = Mapping[str, Change]


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
        claimed = self._claims.at_once(jobs)
        stored = {job.id: claimed[job.id].after if job.id in claimed else job for job in jobs}
        try:
            new = await self._jobs.insert(list(stored.values()))
        except BaseException:
            for change in claimed.values():
                self._claims.doubted(change)
            raise
        self._drop(claimed, claimed.keys() - new)
        won = [change for job, change in claimed.items() if job in new]
        self._ledger.accepted([job for job in jobs if job.id in new], won)
        return {job: stored[job] for job in new}

    def _drop(self, claimed: Claimed, jobs: Collection[str]) -> None:
        for job in jobs:
            self._claims.dropped(claimed[job])


def _outcome(item: Submission, draft: Draft, known: Mapping[str, JobRecord]) -> Acceptance:
    if isinstance(draft, FaultError):
        return Acceptance(job=item.job, fault=draft.fault)
    job = known.get(item.job)
    if job is None or job.account != item.account:
        return Acceptance(job=item.job, fault=Conflict(f"the job id {item.job} is taken", "job").fault)
    worker = job.lease.worker if job.lease is not None else None
    return Acceptance(job=job.id, state=job.state, created_at=job.created_at, worker=worker, attempt=job.attempt)
