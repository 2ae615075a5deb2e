"""The gateway's orders and questions about jobs: one method a message. A job of another account does not exist."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Protocol

from gridloom_contract.base import encode
from gridloom_contract.jobs import (
    CancelAllJobs,
    CancelJob,
    GetJob,
    GetJobs,
    GetTimeline,
    Job,
    JobPage,
    JobsCanceled,
    JobsFound,
    JobsSubmitted,
    ListJobs,
    ReprioritiseJob,
    RetryJob,
    SubmitJobs,
    Timeline,
)
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Invalid, Unavailable
from gridloom_domain.job import Reason, is_terminal
from gridloom_kit.batch import GroupCommit
from gridloom_scheduler.canceling import Canceling
from gridloom_scheduler.census import Census
from gridloom_scheduler.followed import Followed
from gridloom_scheduler.ledger import Together
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import orders, transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.routes import rivals_of
from gridloom_scheduler.rules.views import fitting, job_view, page_of, start_estimate
from gridloom_scheduler.under_way import UnderWay

_MOST_TRIES = 8
_CANCEL_AT_ONCE = 500
_MOST_PER_PAGE = 1_000
_MOST_AT_ONCE = 100
_ENVELOPE_BYTES = 64
Decide = Callable[[JobRecord], Awaitable[Change | None]]


class Jobs(Protocol):
    """Single jobs."""

    async def find(self, job: str) -> JobRecord | None:
        """Return the job, or None."""
        ...

    def outputs_of(self, jobs: Sequence[str], account: str) -> AsyncGenerator[JobRecord, None]:
        """Yield those of the jobs that exist, with their outputs."""
        ...

    async def with_events(self, job: str) -> JobRecord | None:
        """Return the job with its facts, or None."""
        ...


class Queue(Protocol):
    """Jobs in order."""

    async def position_of(self, job: JobRecord, rivals: Sequence[str]) -> int:
        """Return the place of a queued job."""
        ...

    async def waiting_of(self, account: str, until: datetime, limit: int) -> list[JobRecord]:
        """Return waiting jobs of an account."""
        ...

    async def page_of(self, wanted: ListJobs) -> tuple[list[JobRecord], int]:
        """Return a page of an account's jobs and the number of all."""
        ...


class Questions:
    """Answers what is asked about jobs, and changes nothing."""

    def __init__(self, jobs: Jobs, queue: Queue, census: Census, under_way: UnderWay, most_bytes: int) -> None:
        self._jobs = jobs
        self._queue = queue
        self._under_way = under_way
        self._census = census
        self._most_bytes = most_bytes

    async def on_get(self, question: GetJob) -> Job:
        """Return one job; while it is queued also its place and when it may start. Raises `NotFound`."""
        await self._under_way.settled((question.job,))
        return await self.view_of(orders.owned(await self._jobs.find(question.job), question.account))

    async def view_of(self, job: JobRecord) -> Job:
        """Return the job as its owner sees it."""
        if job.state is not State.QUEUED:
            return fitting(job_view(job), self._most_bytes)
        position = await self._queue.position_of(job, rivals_of(job.route, job.family))
        slots, job_seconds = self._census.capacity_for(job)
        return fitting(job_view(job, position, start_estimate(position, job_seconds, slots)), self._most_bytes)

    async def on_get_many(self, question: GetJobs) -> JobsFound:
        """Return jobs, as many as find room in the answer. Raises `Invalid` for too many."""
        if len(question.jobs) > _MOST_AT_ONCE:
            raise Invalid(f"{len(question.jobs)} jobs are more than {_MOST_AT_ONCE} at once", "jobs")
        await self._under_way.settled(question.jobs)
        found: list[Job] = []
        room = self._most_bytes - _ENVELOPE_BYTES * (1 + len(question.jobs))
        missing = dict.fromkeys(question.jobs)
        async with aclosing(self._jobs.outputs_of(question.jobs, question.account)) as records:
            async for record in records:
                view = job_view(record)
                room -= len(encode(view))
                if room < 0 and found:
                    return JobsFound(jobs=tuple(found), unread=tuple(missing))
                found.append(view)
                del missing[record.id]
        return JobsFound(jobs=tuple(found))

    async def on_list(self, question: ListJobs) -> JobPage:
        """Return a page of an account's jobs, newest first; beyond the end it is empty. Raises `Invalid`."""
        if question.page < 1 or not 0 <= question.per_page <= _MOST_PER_PAGE:
            raise Invalid(f"page {question.page} of {question.per_page} jobs is no page", "page")
        await self._under_way.all_settled()
        jobs, total = await self._queue.page_of(question)
        return page_of(jobs, total, self._most_bytes)

    async def on_timeline(self, question: GetTimeline) -> Timeline:
        """Return everything that happened to a job. Raises `NotFound`."""
        await self._under_way.settled((question.job,))
        job = orders.owned(await self._jobs.with_events(question.job), question.account)
        return Timeline(job=job.id, events=job.events)


class Orders:
    """Carries out what is ordered. Each order is one compare-and-set, tried again while others change the job."""

    def __init__(self, jobs: Jobs, queue: Queue, ledger: Together, recall: Recall, pace: Pace) -> None:
        self._jobs = jobs
        self._queue = queue
        self._ledger = ledger
        self._recall = recall
        self._pace = pace

    async def cancel(self, order: CancelJob) -> JobRecord:
        """Cancel a job, stop its worker if it has one, and return the job. Raises `NotFound`, `Conflict`."""

        async def decide(job: JobRecord) -> Change | None:
            return orders.cancel(job, order, self._pace.moment())

        change, job = await self.change(order.job, order.account, decide)
        if change is not None and change.frees_worker:
            await self._recall.stop([change.before], order.reason)
        return job

    async def retry(self, order: RetryJob) -> JobRecord:
        """Run an ended job again and return it. Raises `NotFound`, `Conflict`."""

        async def decide(job: JobRecord) -> Change:
            orders.check_retry(job)
            fair = await self._pace.place_again(job, job.priority)
            return orders.retry(job, order, fair, self._pace.moment())

        return (await self.change(order.job, order.account, decide))[1]

    async def reprioritise(self, order: ReprioritiseJob) -> JobRecord:
        """Move a waiting job up or down and return it. Raises `NotFound`, `Conflict`, `Invalid`."""

        async def decide(job: JobRecord) -> Change:
            priority = orders.moved(job, order)
            fair = await self._pace.place_again(job, priority)
            return orders.reprioritise(job, priority, fair, self._pace.moment())

        return (await self.change(order.job, order.account, decide))[1]

    async def on_cancel_all(self, order: CancelAllJobs) -> JobsCanceled:
        """Cancel every waiting job of an account that exists now; those that just got a worker are left alone."""
        until, count = self._pace.moment().at, 0
        while jobs := await self._queue.waiting_of(order.account, until, _CANCEL_AT_ONCE):
            won = await self._ledger.commit(
                [transitions.canceled(job, Reason.USER, self._pace.moment()) for job in jobs]
            )
            count += sum(won)
        return JobsCanceled(count=count)

    async def change(self, job_id: str, account: str, decide: Decide) -> tuple[Change | None, JobRecord]:
        """Change one job as `decide` says, again if it changes meanwhile. Returns the change and the job after it."""
        await self._ledger.settled(job_id)
        for _ in range(_MOST_TRIES):
            job = orders.owned(await self._jobs.find(job_id), account)
            change = await decide(job)
            if change is None:
                return None, job
            if (await self._ledger.commit([change]))[0]:
                return change, change.after
        raise Unavailable("the job keeps changing; try again", retry_after_seconds=1.0)


class JobDesk:
    """One method a message: what the gateway asks and orders."""

    def __init__(
        self,
        intake: GroupCommit[SubmitJobs, JobsSubmitted],
        questions: Questions,
        orders_of_owner: Orders,
        followed: Followed,
        canceling: Canceling,
    ) -> None:
        self._intake = intake
        self._questions = questions
        self._orders = orders_of_owner
        self._followed = followed
        self._canceling = canceling

    async def on_submit(self, order: SubmitJobs) -> JobsSubmitted:
        """Accept jobs; answered once they are journaled, and canceled if their batch is."""
        submitted = await self._intake.submit(order)
        await self._canceling.cancel_late(order.jobs)
        return submitted

    async def on_get(self, question: GetJob) -> Job:
        """Return one job; who follows it is told its end if this is not yet it. Raises `NotFound`."""
        if question.waiter is None:
            return await self._questions.on_get(question)
        self._followed.note(question.job, question.waiter)  # before the look, so that no end falls in between
        job = None
        try:
            job = await self._questions.on_get(question)
        finally:
            if job is None or is_terminal(job.state):
                self._followed.forget(question.job, question.waiter)
        return job

    async def on_cancel(self, order: CancelJob) -> Job:
        """Cancel a job and return it."""
        return await self._questions.view_of(await self._orders.cancel(order))

    async def on_retry(self, order: RetryJob) -> Job:
        """Run an ended job again and return it."""
        return await self._questions.view_of(await self._orders.retry(order))

    async def on_reprioritise(self, order: ReprioritiseJob) -> Job:
        """Move a waiting job up or down and return it."""
        return await self._questions.view_of(await self._orders.reprioritise(order))
