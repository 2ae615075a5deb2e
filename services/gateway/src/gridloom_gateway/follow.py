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
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_domain.job import is_in_hand, is_terminal
from gridloom_gateway.frames import FrameReader, ending_of, text_of_body
from gridloom_gateway.stored import OpenText, rest_of
from gridloom_gateway.transcript import Transcript
from gridloom_gateway.updates import Closing, Ended, Moved, Position, Said, Silent, StartedOver, Update
from gridloom_kit.log import get_logger
from gridloom_kit.wire import Headers

log = get_logger()

_ORIGIN = "Nats-Subject"
_MAX_UNREAD_CHUNKS = 4096
_MAX_UNREAD_CHARACTERS = 4 * 1024 * 1024
"""What a slow reader leaves unread beyond this is dropped here and read from the token stream later."""
_MAX_STRANGE_CHUNKS = 256
_MIN_ASK_SECONDS = 0.2


@dataclass(frozen=True)
class Rhythm:
    """After how long without news a reader hears that there are none, and the scheduler is asked all the same."""

    silence_seconds: float = 8.0
    recheck_seconds: float = 15.0


@dataclass(frozen=True)
class Source:
    """Where a follower asks: `job()` raises `FaultError`, `chunks(worker)` returns what the token stream still has.

    `text(ref)` opens an output that is an object, and raises `FaultError`.
    """

    job: Callable[[], Awaitable[Job]]
    chunks: Callable[[str], Awaitable[list[TokenChunk]]]
    text: OpenText


@dataclass(frozen=True, slots=True)
class _Heard:
    worker: str
    chunk: TokenChunk
    at: float


class Follower:
    """One reader of one job. `start` once, then `next` until `Ended` or `Closing`."""

    def __init__(self, job: str, source: Source, start: Position | None) -> None:
        self.is_over = False
        """Whether the last update was handed out."""
        self._job = job
        self._source = source
        self._transcript = Transcript(start.attempt, start.sent) if start else Transcript(0)
        self._start = start or Position(0, 0)
        self._frames: FrameReader | None = None
        self._answered: Job | None = None
        self._worker: str | None = None
        self._shown: Moved | None = None
        self._chunks: deque[_Heard] = deque()
        self._unread_characters = 0
        self._rest: AsyncGenerator[Update, None] | None = None
        self._strange: deque[_Heard] = deque(maxlen=_MAX_STRANGE_CHUNKS)
        self._facts: deque[JobFact] = deque()
        self._updates: list[Update] = []
        self._wake = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._must_ask = self._asked_in_vain = self._must_replay = False
        self._has_hole = self._is_silent = self._is_closing = False
        self._asked_at = self._spoke_at = self._now()

    async def on_chunk(self, chunk: TokenChunk, subject: str, headers: Headers) -> None:
        """Hear text. `Nats-Subject` is the server's word for where it was published, and so for who sent it."""
        if chunk.job == self._job and self._may_wait(chunk):
            self._unread_characters += len(chunk.text)
            worker = subjects.worker_in(headers.get(_ORIGIN, subject))
            self._chunks.append(_Heard(worker, chunk, self._now()))
            self._wake.set()

    async def on_fact(self, fact: JobFact, _subject: str, _headers: Headers) -> None:
        """Hear that something happened to the job."""
        self._facts.append(fact)
        self._wake.set()

    def recheck(self) -> None:
        """Ask and replay again: something may have been missed."""
        self._must_ask = self._must_replay = True
        self._has_hole = False
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
        if self._is_silent or self._must_ask or self._strange:
            self._wake.set()

    async def start(self) -> None:
        """Ask for the job for the first time. Raises `FaultError`, `not_found` among others."""
        job = await self._source.job()
        if job.task.raw is not None:
            self._frames = FrameReader(self._start.sent, self._start.content)
        self._adopt(job)
        self._wake.set()

    def begin(self, *, is_raw: bool) -> None:
        """Follow a job that was taken in after this follower began to hear: there is nothing to ask yet."""
        self._frames = FrameReader() if is_raw else None

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
        return self._source.text(ref) if self._frames is None else text_of_body(self._source.text, ref)

    async def aclose(self) -> None:
        """Let go of what is open."""
        if self._rest is not None:
            await self._rest.aclose()

    def _handed_out(self, updates: list[Update]) -> list[Update]:
        self.is_over = isinstance(updates[-1], Ended | Closing)
        return updates

    def _may_wait(self, chunk: TokenChunk) -> bool:
        is_room = self._unread_characters + len(chunk.text) <= _MAX_UNREAD_CHARACTERS
        return is_room and len(self._chunks) < _MAX_UNREAD_CHUNKS

    async def _step(self) -> None:
        while self._facts:
            self._learn(self._facts.popleft())
        if self._is_ask_due():
            await self._ask()
        if not self._has_ended:
            await self._read()
        if self._answered is not None:
            await self._finish_frames(self._answered)
        if self._is_closing and not self._has_ended:
            self._updates.append(Closing())
        elif self._is_silent and not self._updates:
            self._updates.append(Silent())
        elif self._strange and self._is_ask_due():
            self._wake.set()

    def _learn(self, fact: JobFact) -> None:
        if isinstance(fact, JobAssigned) and fact.attempt > self._transcript.attempt:
            self._turn_to(fact.attempt, fact.worker)
            self._show(Moved(State.CLAIMED, fact.attempt))
        elif isinstance(fact, JobStarted) and (fact.worker, fact.attempt) == self._current:
            self._show(Moved(State.RUNNING, fact.attempt))
        elif not self._is_known(fact):
            self._must_ask = True

    async def _ask(self) -> None:
        self._asked_at = self._now()
        try:
            job = await self._source.job()
        except FaultError as error:
            if error.fault.code is FaultCode.NOT_FOUND:
                raise
            # Asked again later: a scheduler that restarts must not end the streams.
            log.info("follow.unanswered", job=self._job, code=str(error.fault.code))
            self._must_ask = self._asked_in_vain = True
            return
        self._must_ask = self._asked_in_vain = False
        self._adopt(job)
        self._chunks.extendleft(reversed(self._strange))
        self._unread_characters += sum(len(heard.chunk.text) for heard in self._strange)
        self._strange.clear()

    def _adopt(self, job: Job) -> None:
        if is_terminal(job.state):
            if self._frames is None:
                self._finish(job)
            elif self._answered is None:
                self._answer(job)
            return
        worker = job.worker if is_in_hand(job.state) else None
        is_news = worker is not None and (worker, job.attempt) != self._current
        if is_news or job.attempt < self._transcript.attempt:
            self._turn_to(job.attempt, worker)
        self._must_replay = self._must_replay or is_news
        self._worker = worker
        self._show(Moved(job.state, job.attempt, job.reason, job.queue_position, job.estimated_start_seconds))

    def _turn_to(self, attempt: int, worker: str | None) -> None:
        if attempt != self._transcript.attempt:
            if self._transcript.sent:
                self._updates.append(StartedOver(attempt))
            self._transcript = Transcript(attempt)
            self._frames = self._frames and FrameReader()
        self._worker = worker
        self._has_hole = False

    def _finish(self, job: Job) -> None:
        if job.output_ref is not None:
            self._rest = rest_of(job, job.output_ref, self._transcript, self._source.text)
            return
        output = job.output if job.state is State.SUCCEEDED else None
        if output is not None:
            ending = self._transcript.finish(job.attempt, output)
            if ending.starts_over:
                self._updates.append(StartedOver(job.attempt))
            if ending.text:
                self._updates.append(Said(ending.text, job.attempt, len(output)))
        self._updates.append(Ended(job, len(output) if output is not None else self._transcript.sent))

    def _say(self, text: str) -> None:
        attempt = self._transcript.attempt
        if self._frames is None:
            self._updates.append(Said(text, attempt, self._transcript.sent))
        elif (said := self._frames.take(text, attempt)) is not None:
            self._updates.append(said)

    def _answer(self, job: Job) -> None:
        """The job is over; what was heard of its last attempt is read first."""
        self._answered = job
        if job.state is State.SUCCEEDED and (job.worker, job.attempt) != self._current:
            self._turn_to(job.attempt, job.worker)

    async def _finish_frames(self, job: Job) -> None:
        if self._frames is None:
            return
        if job.worker is not None and self._frames.lacks(job):
            self._say("".join(await self._replay(job.worker)))
        self._updates += await ending_of(job, self._frames, self._source.text)

    async def _read(self) -> None:
        parts: list[str] = []
        if self._must_replay and self._worker is not None:
            parts += await self._replay(self._worker)
        while self._chunks:
            heard = self._chunks.popleft()
            self._unread_characters -= len(heard.chunk.text)
            parts += await self._read_one(heard)
        text = "".join(parts)
        if text:
            self._say(text)

    async def _read_one(self, heard: _Heard) -> list[str]:
        if (heard.worker, heard.chunk.attempt) != self._current:
            # Perhaps of a worker we have not heard of yet; the next answer of the scheduler decides.
            if heard.chunk.attempt >= self._transcript.attempt and heard.at >= self._asked_at:
                self._strange.append(heard)
            return []
        text = self._transcript.take(heard.chunk)
        if text is not None:
            return [text]
        if self._has_hole:
            return []
        missed = await self._replay(heard.worker)
        text = self._transcript.take(heard.chunk)
        self._has_hole = text is None  # the result will close it
        return [*missed, text or ""]

    async def _replay(self, worker: str) -> list[str]:
        self._must_replay = False
        attempt = self._transcript.attempt
        found = [chunk for chunk in await self._source.chunks(worker) if chunk.attempt == attempt]
        return [self._transcript.take(chunk) or "" for chunk in sorted(found, key=lambda chunk: chunk.offset)]

    def _show(self, moved: Moved) -> None:
        if moved != self._shown:
            self._shown = moved
            self._updates.append(moved)

    def _is_ask_due(self) -> bool:
        if self._must_ask and not self._asked_in_vain:
            return True
        return (self._must_ask or bool(self._strange)) and self._now() - self._asked_at >= _MIN_ASK_SECONDS

    def _is_known(self, fact: JobFact) -> bool:
        """An event that tells nothing new: late, repeated, or older than the attempt at hand."""
        if isinstance(fact, JobAccepted):
            return True
        if isinstance(fact, JobAssigned):
            return fact.attempt < self._transcript.attempt or (fact.worker, fact.attempt) == self._current
        return isinstance(fact, JobStarted) and fact.attempt < self._transcript.attempt

    @property
    def _current(self) -> tuple[str | None, int]:
        return self._worker, self._transcript.attempt

    @property
    def _has_ended(self) -> bool:
        return self._rest is not None or (bool(self._updates) and isinstance(self._updates[-1], Ended))
