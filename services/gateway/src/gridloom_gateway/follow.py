"""Following a job: its states and its text, live, replayed or both, from whichever worker and attempt they come.

The order that loses nothing: subscribe, then ask for the job, then replay, then go live (BUS.md §4). Events are hints
that save a question; what the scheduler answers is the truth, so a lost or repeated event costs time at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gridloom_contract import subjects
from gridloom_contract.events import JobAccepted, JobAssigned, JobFact, JobStarted
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Acceptance, Job
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_domain.job import is_in_hand, is_terminal
from gridloom_gateway.frames import text_of_body
from gridloom_gateway.hearing import Heard, Hearing, ReadAgain
from gridloom_gateway.stored import OpenText, rest_of
from gridloom_gateway.updates import Closing, Ended, Moved, Position, Silent, Update
from gridloom_kit.log import get_logger
from gridloom_kit.wire import Headers

log = get_logger()

_ORIGIN = "Nats-Subject"
_PLACE = "Nats-Sequence"
_MIN_ASK_SECONDS = 0.2


@dataclass(frozen=True)
class Rhythm:
    """After how long without news a reader hears that there are none, and the scheduler is asked all the same."""

    silence_seconds: float = 8.0
    recheck_seconds: float = 15.0


@dataclass(frozen=True)
class Source:
    """Where a follower asks: `job()` raises `FaultError`, `again` is what the token stream still has.

    `text(ref)` opens an output that is an object, and raises `FaultError`.
    """

    job: Callable[[], Awaitable[Job]]
    again: ReadAgain
    text: OpenText


class Follower:
    """One reader of one job. `start` once, then `next` until `Ended` or `Closing`."""

    def __init__(self, job: str, source: Source, start: Position | None) -> None:
        self.is_over = False
        """Whether the last update was handed out."""
        self._job = job
        self._source = source
        self._hearing = Hearing(source.again, start)
        self._told: Job | None = None
        self._answered: Job | None = None
        self._shown: Moved | None = None
        self._rest: AsyncGenerator[Update, None] | None = None
        self._facts: deque[JobFact] = deque()
        self._updates: list[Update] = []
        self._wake = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._must_ask = self._asked_in_vain = False
        self._is_silent = self._is_closing = False
        self._asked_at = self._spoke_at = self._now()

    async def on_chunk(self, chunk: TokenChunk, subject: str, headers: Headers) -> None:
        """Hear text. `Nats-Subject` is the server's word for where it was published, and so for who sent it."""
        if chunk.job == self._job:
            worker = subjects.worker_in(headers.get(_ORIGIN, subject))
            self._hearing.hear(Heard(worker, chunk, self._now(), int(headers.get(_PLACE, 0))))
            self._wake.set()

    async def on_fact(self, fact: JobFact, _subject: str, _headers: Headers) -> None:
        """Hear that something happened to the job."""
        self._facts.append(fact)
        self._wake.set()

    def end(self, job: Job) -> None:
        """Hear how the job ended: nobody need be asked any more."""
        self._told, self._must_ask = job, True
        self._wake.set()

    def recheck(self) -> None:
        """Ask and replay again: something may have been missed."""
        self._must_ask = True
        self._hearing.replay(from_start=True)
        self._wake.set()

    def close(self) -> None:
        """Have the reader told that this gateway stops."""
        self._is_closing = True
        self._wake.set()

    def tick(self, rhythm: Rhythm) -> None:
        """Look at the time: break a silence, and trust no silence for ever."""
        now = self._now()
        self._is_silent = now - self._spoke_at >= rhythm.silence_seconds
        self._must_ask = self._must_ask or now - self._asked_at >= rhythm.recheck_seconds
        if self._is_silent or self._must_ask or self._hearing.has_strange:
            self._wake.set()

    async def start(self) -> None:
        """Ask for the job for the first time. Raises `FaultError`, `not_found` among others."""
        job = await self._source.job()
        if job.task.raw is not None:
            self._hearing.expect_frames()
        self._adopt(job)
        self._wake.set()

    def begin(self, accepted: Acceptance, *, is_raw: bool) -> None:
        """Follow a job that was taken in after this follower began to hear: there is nothing to ask yet."""
        if is_raw:
            self._hearing.expect_frames()
        if accepted.worker is not None:
            self._assigned(accepted.attempt, accepted.worker)
            self._wake.set()

    async def next(self) -> list[Update]:
        """Return what is new, at least one update, waiting for it. Raises `FaultError` if the job is gone."""
        while not self._updates:
            if self._rest is not None:
                return self._handed_out([await anext(self._rest)])
            await self._wake.wait()
            self._wake.clear()
            await self._step()
        updates, self._updates = self._updates, []
        self._spoke_at, self._is_silent = self._now(), False
        return self._handed_out(updates)

    def stored_text(self, ref: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Open the text of an output that is an object. Entering raises `FaultError`."""
        return text_of_body(self._source.text, ref) if self._hearing.is_raw else self._source.text(ref)

    async def aclose(self) -> None:
        """Let go of what is open."""
        if self._rest is not None:
            await self._rest.aclose()

    def _handed_out(self, updates: list[Update]) -> list[Update]:
        self.is_over = isinstance(updates[-1], Ended | Closing)
        return updates

    async def _step(self) -> None:
        while self._facts:
            self._learn(self._facts.popleft())
        if self._is_ask_due():
            await self._ask()
        self._updates += await self._hearing.read(self._asked_at)
        if self._hearing.is_behind:
            self._wake.set()  # the reader gets this much first
        elif self._answered is not None:
            await self._finish(self._answered)
        if self._is_closing and not self._has_ended:
            self._updates.append(Closing())
        elif self._is_silent and not self._updates:
            self._updates.append(Silent())
        elif self._hearing.has_strange and self._is_ask_due():
            self._wake.set()

    def _learn(self, fact: JobFact) -> None:
        if isinstance(fact, JobAssigned) and fact.attempt > self._hearing.transcript.attempt:
            self._assigned(fact.attempt, fact.worker)
        elif isinstance(fact, JobStarted) and (fact.worker, fact.attempt) == self._hearing.current:
            self._show(Moved(State.RUNNING, fact.attempt))
        elif not self._is_known(fact):
            self._must_ask = True

    def _assigned(self, attempt: int, worker: str) -> None:
        self._updates += self._hearing.turn_to(attempt, worker)
        self._show(Moved(State.CLAIMED, attempt))

    async def _ask(self) -> None:
        self._asked_at = self._now()
        try:
            job = self._told or await self._source.job()
        except FaultError as error:
            if error.fault.code is FaultCode.NOT_FOUND:
                raise
            # Asked again later: a scheduler that restarts must not end the streams.
            log.info("follow.unanswered", job=self._job, code=str(error.fault.code))
            self._must_ask = self._asked_in_vain = True
            return
        self._must_ask = self._asked_in_vain = False
        self._adopt(job)
        self._hearing.judge_strangers()

    def _adopt(self, job: Job) -> None:
        if is_terminal(job.state):
            self._answer(job)
            return
        worker = job.worker if is_in_hand(job.state) else None
        is_news = worker is not None and (worker, job.attempt) != self._hearing.current
        if is_news or job.attempt < self._hearing.transcript.attempt:
            self._updates += self._hearing.turn_to(job.attempt, worker)
        if is_news:
            self._hearing.replay()
        self._hearing.worker = worker
        self._show(Moved(job.state, job.attempt, job.reason, job.queue_position, job.estimated_start_seconds))

    def _answer(self, job: Job) -> None:
        """The job is over; what was heard of its last attempt is read first."""
        if self._answered is not None:
            return
        self._answered = job
        is_wanted = self._hearing.is_raw if job.state is State.SUCCEEDED else self._hearing.has_part_in(job)
        if is_wanted and job.worker is not None and (job.worker, job.attempt) != self._hearing.current:
            self._updates += self._hearing.turn_to(job.attempt, job.worker)

    async def _finish(self, job: Job) -> None:
        if self._hearing.looks_back(job):
            self._wake.set()
        elif job.output_ref is not None and not self._hearing.is_raw:
            self._rest = rest_of(job, job.output_ref, self._hearing.transcript, self._source.text)
        else:
            self._updates += await self._hearing.ending(job, self._source.text)

    def _show(self, moved: Moved) -> None:
        if moved != self._shown:
            self._shown = moved
            self._updates.append(moved)

    def _is_ask_due(self) -> bool:
        if self._must_ask and not self._asked_in_vain:
            return True
        is_wanted = self._must_ask or self._hearing.has_strange
        return is_wanted and self._now() - self._asked_at >= _MIN_ASK_SECONDS

    def _is_known(self, fact: JobFact) -> bool:
        """An event that tells nothing new: late, repeated, or older than the attempt at hand."""
        attempt = self._hearing.transcript.attempt
        if isinstance(fact, JobAccepted):
            return True
        if isinstance(fact, JobAssigned):
            return fact.attempt < attempt or (fact.worker, fact.attempt) == self._hearing.current
        return isinstance(fact, JobStarted) and fact.attempt < attempt

    @property
    def _has_ended(self) -> bool:
        return self._rest is not None or (bool(self._updates) and isinstance(self._updates[-1], Ended))
