"""The blob service's orders about jobs: one method a message."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from gridloom_contract.blobs import AttachBlob, HoldJob, JobDataPurged, PurgeJobData
from gridloom_contract.jobs import Job
from gridloom_domain.errors import Unavailable
from gridloom_scheduler.handlers import Decide, Orders
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import files
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.views import fitting, job_view

_MOST_ROUNDS = 4


class Jobs(Protocol):
    """Where jobs are stored."""

    async def many(self, jobs: Collection[str]) -> dict[str, JobRecord]:
        """Return those of the jobs that exist, by id."""
        ...


class FileDesk:
    """Holds jobs for their files, gives them to the jobs, and forgets what is too old."""

    def __init__(self, jobs: Jobs, orders: Orders, ledger: Ledger, pace: Pace, most_bytes: int) -> None:
        self._jobs = jobs
        self._orders = orders
        self._ledger = ledger
        self._pace = pace
        self._most_bytes = most_bytes

    async def on_hold(self, order: HoldJob) -> Job:
        """Keep a waiting job back. Raises `NotFound`, `Conflict`, `Invalid`."""

        async def decide(job: JobRecord) -> Change | None:
            return files.hold(job, order, self._pace.moment())

        return await self._change(order.job, order.account, decide)

    async def on_attach(self, order: AttachBlob) -> Job:
        """Give a job a file. Raises `NotFound`, `Conflict`."""

        async def decide(job: JobRecord) -> Change | None:
            return files.attach(job, order, self._pace.moment())

        return await self._change(order.job, order.account, decide)

    async def _change(self, job: str, account: str, decide: Decide) -> Job:
        _, changed = await self._orders.change(job, account, decide)
        return fitting(job_view(changed), self._most_bytes)

    async def on_purge(self, order: PurgeJobData) -> JobDataPurged:
        """Forget inputs and outputs of ended jobs. Raises `Unavailable` if they keep changing."""
        count, kept, left = 0, set[str](), set(order.jobs)
        for _ in range(_MOST_ROUNDS):
            found = (await self._jobs.many(left)).values() if left else ()
            kept |= {job.id for job in found if files.keeps_data(job, order.ended_before)}
            changes = [
                files.purged(job, self._pace.moment()) for job in found if job.id not in kept and not job.data_removed
            ]
            won = await self._ledger.commit(changes)
            count += sum(won)
            left = {change.before.id for change, is_won in zip(changes, won, strict=True) if not is_won}
            if not left:
                return JobDataPurged(count=count, kept=tuple(sorted(kept)))
        raise Unavailable(f"{len(left)} jobs keep changing; try again", retry_after_seconds=1.0)
