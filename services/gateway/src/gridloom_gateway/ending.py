"""Waiting for a job's end, and for nothing else: no text is heard, and the record is asked only if nobody told it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gridloom_contract.events import JobFact, JobFinished
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Job
from gridloom_domain.job import is_terminal
from gridloom_gateway.follow import Rhythm
from gridloom_kit.log import get_logger
from gridloom_kit.wire import Headers

log = get_logger()


class Ending:
    """The end of one job. `ask` returns the job as it is now, or raises `FaultError`."""

    def __init__(self, job: str, ask: Callable[[], Awaitable[Job]]) -> None:
        self._job = job
        self._ask = ask
        self._told: Job | None = None
        self._news = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._asked_at = self._now()

    def end(self, job: Job) -> None:
        """Hear how the job ended. It is said once and may be lost: then the record is asked after a while."""
        self._told = job
        self._news.set()

    async def on_fact(self, fact: JobFact, _subject: str, _headers: Headers) -> None:
        """Hear that something happened to the job."""
        if isinstance(fact, JobFinished):
            self._news.set()

    def recheck(self) -> None:
        """Ask: something may have been missed."""
        self._news.set()

    def close(self) -> None:
        """Go on: whoever waits for an answer has the time that a stop leaves to requests."""

    def tick(self, rhythm: Rhythm) -> None:
        """Look at the time: trust no silence for ever."""
        if self._now() - self._asked_at >= rhythm.recheck_seconds:
            self._news.set()

    async def job(self) -> Job:
        """Return the job once it has ended. Raises `FaultError` if it is gone."""
        while True:
            await self._news.wait()
            self._news.clear()
            job = self._told or await self._asked()
            if job is not None and is_terminal(job.state):
                return job

    async def _asked(self) -> Job | None:
        self._asked_at = self._now()
        try:
            return await self._ask()
        except FaultError as error:
            if error.fault.code is FaultCode.NOT_FOUND:
                raise
            log.info("ending.unanswered", job=self._job, code=str(error.fault.code))
            return None
