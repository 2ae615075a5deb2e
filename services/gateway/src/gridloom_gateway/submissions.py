"""Submissions under a plan: whether one more job may wait, and with which priority it does if it names none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gridloom_contract.jobs import Acceptance, Submission
from gridloom_gateway.intake import Intake
from gridloom_gateway.people import Caller
from gridloom_gateway.plans import Plans
from gridloom_gateway.waiting import WaitingRoom


class Submissions:
    """Hands jobs in as their accounts' plans say; a plan without such limits costs a look into memory."""

    def __init__(self, intake: Intake, plans: Plans, waiting: WaitingRoom) -> None:
        self._intake = intake
        self._plans = plans
        self._waiting = waiting

    async def submit(self, submission: Submission) -> Acceptance:
        """Take a job in: once this returns it will not be lost.

        Raises `RateLimited` if as many jobs of the account wait as its plan allows, and what `Intake.submit` does.
        """
        limit = (await self._plans.of(submission.account)).max_waiting_jobs
        if limit is None:
            return await self._intake.submit(submission)
        async with self._waiting.place(submission.account, limit):
            return await self._intake.submit(submission)

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Acceptance | BaseException]:
        """Hand in jobs of one account and return how each fared.

        Raises `RateLimited` if not all of them may wait; then none was handed in.
        """
        limit = (await self._plans.of(submissions[0].account)).max_waiting_jobs
        if limit is None:
            return await self._fates(submissions)
        async with self._waiting.place(submissions[0].account, limit, len(submissions)):
            return await self._fates(submissions)

    async def _fates(self, submissions: Sequence[Submission]) -> list[Acceptance | BaseException]:
        return await asyncio.gather(*map(self._intake.submit, submissions), return_exceptions=True)

    async def boosted(self, caller: Caller) -> Caller:
        """Return the caller with the priority of jobs that name none: the account's own, else that of its plan."""
        boost = caller.priority_boost or (await self._plans.of(caller.account)).priority_boost
        return caller if boost == caller.priority_boost else replace(caller, priority_boost=boost)
