"""Jobs with somebody at the other end of the line: taken in, waited for, and canceled once nobody waits any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Acceptance, Job, Submission
from gridloom_gateway.follow import Follower
from gridloom_gateway.followers import Followers
from gridloom_gateway.submissions import Submissions
from gridloom_kit.finish import finish
from gridloom_kit.log import get_logger

log = get_logger()

Cancel = Callable[[str, str], Awaitable[Job]]
"""`cancel(account, job)`. Raises `FaultError`."""


class Attendance:
    """Serves those who wait. A job that `is_kept` goes on without them: its owner may come back for it, by its key."""

    def __init__(self, submissions: Submissions, followers: Followers, cancel: Cancel) -> None:
        self._submissions = submissions
        self._followers = followers
        self._cancel = cancel

    async def answered(self, submission: Submission, *, is_kept: bool) -> Job:
        """Take a job in and return it once it has ended. Raises what `Submissions.submit` does."""
        submission = await self._followers.awaited(submission)
        async with (
            self._followers.ending(submission, is_kept=is_kept) as ending,
            self._taken_in(submission, is_kept=is_kept) as visit,
        ):
            if is_kept:
                ending.recheck()  # it may be an old one
            job = await ending.job()
            visit.is_over = True
            return job

    @asynccontextmanager
    async def attended(self, submission: Submission, *, is_kept: bool) -> AsyncIterator[Follower]:
        """Take a job in and follow it. Entering raises what `Submissions.submit` does."""
        submission = await self._followers.awaited(submission)
        async with (
            self._followers.heard(submission.account, submission.job, None) as follower,
            self._taken_in(submission, is_kept=is_kept) as visit,
        ):
            if is_kept or visit.accepted is None:
                await follower.start()
            else:
                follower.begin(visit.accepted, is_raw=submission.task.raw is not None)
            try:
                yield follower
            finally:
                visit.is_over = follower.is_over

    @asynccontextmanager
    async def _taken_in(self, submission: Submission, *, is_kept: bool) -> AsyncIterator[_Visit]:
        """Take the job in; whoever leaves before the end cancels it."""
        visit = _Visit()
        try:
            visit.accepted = await self._submissions.submit(submission)
            yield visit
        except FaultError:
            visit.is_over = visit.is_over or visit.accepted is None  # refused, or perhaps taken in without a word
            raise
        finally:
            if not (visit.is_over or is_kept):
                await finish(self._withdraw(submission, visit))

    async def _withdraw(self, submission: Submission, visit: _Visit) -> None:
        try:
            if visit.accepted is None:  # offered again, under the same id: nothing of it may be under way still
                await self._submissions.submit(submission)
            await self._cancel(submission.account, submission.job)
        except FaultError as error:
            log.warning("attendance.not_canceled", job=submission.job, code=str(error.fault.code))


@dataclass
class _Visit:
    """Somebody's waiting for a job, once it is accepted."""

    accepted: Acceptance | None = None
    is_over: bool = False
