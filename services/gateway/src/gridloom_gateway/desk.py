"""Everything a dialect may ask for on behalf of an account. A verb returns what the grid says or raises `FaultError`.

A job of another account and a job that never was look exactly alike here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from gridloom_contract.base import Message
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.fleet import ListModels, ModelEntry, ModelList
from gridloom_contract.jobs import (
    Acceptance,
    CancelAllJobs,
    CancelJob,
    GetJob,
    GetJobs,
    GetTimeline,
    Job,
    JobPage,
    JobsCanceled,
    JobsFound,
    ListJobs,
    ReprioritiseJob,
    RetryJob,
    Submission,
    Timeline,
)
from gridloom_contract.registry import (
    CANCEL_ALL_JOBS,
    CANCEL_JOB,
    GET_JOB,
    GET_JOBS,
    GET_TIMELINE,
    LIST_JOBS,
    LIST_MODELS,
    REPRIORITISE_JOB,
    RETRY_JOB,
    Channel,
)
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import NotFound
from gridloom_domain.job import Reason
from gridloom_gateway.attendance import Attendance
from gridloom_gateway.echoes import with_echoes
from gridloom_gateway.follow import Follower
from gridloom_gateway.followers import Followers
from gridloom_gateway.frames import text_of_body
from gridloom_gateway.objects import Objects
from gridloom_gateway.people import Caller
from gridloom_gateway.submissions import Submissions
from gridloom_gateway.updates import Position
from gridloom_kit.bus import Bus

R = TypeVar("R", bound=Message)


def no_such_job() -> NotFound:
    """Return the one error for a job that is unknown, another account's, or named in a form that is no id."""
    return NotFound("there is no such job")


def is_unknown(error: BaseException) -> bool:
    """Say whether an error leaves open if the job was taken."""
    return isinstance(error, FaultError) and error.fault.code is FaultCode.UNAVAILABLE


class Questions:
    """Asks the scheduler, one verb a question."""

    def __init__(self, bus: Bus, timeout_seconds: float) -> None:
        self._bus = bus
        self._timeout_seconds = timeout_seconds

    async def get(self, account: str, job: str, waiter: str | None = None) -> Job:
        """Return the job, whose end this waiter may then be told. Raises `NotFound`."""
        return await self.about_job(GET_JOB, GetJob(job=job, account=account, waiter=waiter), Job)

    async def waiting(self, account: str) -> int:
        """Return how many jobs of the account wait, held ones too."""
        question = ListJobs(account=account, states=(State.HELD, State.QUEUED), per_page=0)
        return (await self.ask(LIST_JOBS, question, JobPage)).total

    async def about_job(self, channel: Channel, question: Message, answer: type[R]) -> R:
        """Ask about one job; whatever the scheduler calls missing becomes the one `NotFound`."""
        try:
            return await self.ask(channel, question, answer)
        except FaultError as error:
            if error.fault.code is FaultCode.NOT_FOUND:
                raise no_such_job() from None
            raise

    async def ask(self, channel: Channel, question: Message, _answer: type[R]) -> R:
        """Return the answer. Raises the scheduler's `FaultError`, or `unavailable`."""
        answer: Any = await self._bus.request(channel, question, timeout_seconds=self._timeout_seconds)
        return answer  # type: ignore[no-any-return]


class Desk:
    """The verbs. `mint` makes job ids: the sender of a job names it, so that sending it twice makes one job."""

    def __init__(
        self,
        questions: Questions,
        submissions: Submissions,
        followers: Followers,
        objects: Objects,
        mint: Callable[[], str],
    ) -> None:
        self._questions = questions
        self._submissions = submissions
        self._followers = followers
        self._objects = objects
        self._mint = mint
        self._attendance = Attendance(submissions, followers, self._withdrawn)

    def mint(self, caller: Caller) -> str:
        """Return the id of what the caller's request makes: the same if the request is made again under its key."""
        return caller.new_id or self._mint()

    async def submit(self, submission: Submission) -> Acceptance:
        """Take a job in: once this returns it will not be lost. Raises what `Submissions.submit` does."""
        return await self._submissions.submit(submission)

    async def submit_all(self, submissions: Sequence[Submission], *, is_kept: bool) -> list[Acceptance]:
        """Take all of these jobs of one account in. If one is refused the others are canceled, and that is raised.

        If it is only unknown whether it was taken, and they are `kept`, all stays as it is: who has their key comes
        back.
        """
        fates = await self._submissions.submit_all(submissions)
        refusals = [fate for fate in fates if isinstance(fate, BaseException)]
        if refusals:
            worst = next((refusal for refusal in refusals if not is_unknown(refusal)), refusals[0])
            if not (is_kept and is_unknown(worst)):
                await self._cancel_all_of(
                    one for one, fate in zip(submissions, fates, strict=True) if isinstance(fate, Acceptance)
                )
            raise worst
        return [fate for fate in fates if isinstance(fate, Acceptance)]

    async def _cancel_all_of(self, taken: Iterable[Submission]) -> None:
        cancellations = (self.cancel(one.account, one.job, waiting_only=False) for one in taken)
        await asyncio.gather(*cancellations, return_exceptions=True)

    async def boosted(self, caller: Caller) -> Caller:
        """Return the caller with the priority that its jobs have if they name none."""
        return await self._submissions.boosted(caller)

    async def get(self, account: str, job: str) -> Job:
        """Return the job. Raises `NotFound`."""
        return await self._questions.get(account, job)

    async def get_all(self, account: str, jobs: Sequence[str]) -> list[Job]:
        """Return those of the jobs that there are, with all that their dialects kept. Raises `NotFound` if none is."""
        found = await asyncio.gather(*(self.get(account, job) for job in jobs), return_exceptions=True)
        known = [one for one in found if isinstance(one, Job)]
        failures = [one for one in found if isinstance(one, BaseException) and not isinstance(one, NotFound)]
        if failures or not known:
            raise failures[0] if failures else no_such_job()
        return await with_echoes(known, self._objects.reading)

    async def outputs(self, account: str, jobs: Sequence[str]) -> dict[str, Job]:
        """Return those of the jobs that there are, with outputs but without tasks and echoes."""
        found: dict[str, Job] = {}
        unread = tuple(jobs)
        while unread:
            answer = await self._questions.ask(GET_JOBS, GetJobs(account=account, jobs=unread), JobsFound)
            found |= {job.job: job for job in answer.jobs}
            unread = answer.unread
        return found

    def text(self, ref: str, *, is_body: bool = False) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Open an output that is an object, or the text of such a body. Entering raises `Unavailable`."""
        return text_of_body(self._objects.reading, ref) if is_body else self._objects.reading(ref)

    async def list(self, wanted: ListJobs) -> JobPage:
        """Return one page of an account's jobs."""
        return await self._questions.ask(LIST_JOBS, wanted, JobPage)

    async def cancel(self, account: str, job: str, *, waiting_only: bool) -> Job:
        """Cancel the job and return it. Raises `NotFound`, or `Conflict` if it is past canceling."""
        order = CancelJob(job=job, account=account, waiting_only=waiting_only)
        return await self._questions.about_job(CANCEL_JOB, order, Job)

    async def cancel_all(self, account: str) -> int:
        """Cancel all waiting jobs of the account and return how many there were."""
        canceled = await self._questions.ask(CANCEL_ALL_JOBS, CancelAllJobs(account=account), JobsCanceled)
        return canceled.count

    async def retry(self, account: str, job: str, sealed_key: str | None) -> Job:
        """Run an ended job again and return it; its webhook is signed with the sealed key.

        Raises `NotFound`, or `Conflict` unless it failed or was canceled.
        """
        order = RetryJob(job=job, account=account, sealed_key=sealed_key)
        return await self._questions.about_job(RETRY_JOB, order, Job)

    async def reprioritise(self, account: str, job: str, delta: int) -> Job:
        """Add to the priority of a waiting job; return it. Raises `NotFound`, or `Conflict` once it does not wait."""
        order = ReprioritiseJob(job=job, account=account, delta=delta)
        return await self._questions.about_job(REPRIORITISE_JOB, order, Job)

    async def timeline(self, account: str, job: str) -> Timeline:
        """Return everything that happened to the job. Raises `NotFound`."""
        return await self._questions.about_job(GET_TIMELINE, GetTimeline(job=job, account=account), Timeline)

    async def models(self, account: str, *, online_only: bool) -> tuple[ModelEntry, ...]:
        """Return the models this account may use, by name."""
        question = ListModels(account=account, online_only=online_only)
        return (await self._questions.ask(LIST_MODELS, question, ModelList)).models

    def follow(self, account: str, job: str, start: Position | None) -> AbstractAsyncContextManager[Follower]:
        """Follow the job from where a reader is. Entering raises `NotFound`; leaving ends the subscriptions."""
        return self._followers.follow(account, job, start)

    async def answered(self, submission: Submission, *, is_kept: bool) -> Job:
        """Take a job in and return it once it has ended. Raises what `submit` does.

        Whoever stops waiting cancels it, unless it `is_kept`: then its owner may come back for it, by its key.
        """
        return await self._attendance.answered(submission, is_kept=is_kept)

    def attended(self, submission: Submission, *, is_kept: bool) -> AbstractAsyncContextManager[Follower]:
        """Take a job in and follow it. Entering raises what `submit` does; who leaves before its end cancels it."""
        return self._attendance.attended(submission, is_kept=is_kept)

    async def _withdrawn(self, account: str, job: str) -> Job:
        order = CancelJob(job=job, account=account, reason=Reason.CLIENT_GONE)
        return await self._questions.about_job(CANCEL_JOB, order, Job)
