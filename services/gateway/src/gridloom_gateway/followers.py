"""Everybody who waits for jobs at this gateway: subscribed, told of reconnections, and told when it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from secrets import token_hex
from typing import cast

from msgspec.structs import replace

from gridloom_contract import subjects
from gridloom_contract.events import JobEvent, JobFact
from gridloom_contract.jobs import Job, Submission
from gridloom_contract.work import TokenChunk
from gridloom_gateway.ending import Ending
from gridloom_gateway.follow import Follower, Rhythm, Source
from gridloom_gateway.metrics import streams_open
from gridloom_gateway.replay import page_after
from gridloom_gateway.stored import OpenText
from gridloom_gateway.updates import Position
from gridloom_kit.bus import Bus
from gridloom_kit.wire import Headers

_ANY_FACT = cast(type[JobFact], JobEvent)

Ask = Callable[[str, str, str | None], Awaitable[Job]]
"""`ask(account, job, waiter)` returns the job or raises `FaultError`; a waiter may be told of its end."""


class Followers:
    """Opens followers and keeps them awake; `tick` wants to be called about once a second."""

    def __init__(self, bus: Bus, ask: Ask, open_text: OpenText, rhythm: Rhythm) -> None:
        self._bus = bus
        self._ask = ask
        self._open_text = open_text
        self._rhythm = rhythm
        self._name = token_hex(8)
        self._open: set[Follower | Ending] = set()
        self._waiting: dict[str, list[Follower | Ending]] = {}
        self._is_told = False
        self._is_closing = False

    @asynccontextmanager
    async def follow(self, account: str, job: str, start: Position | None) -> AsyncIterator[Follower]:
        """Yield a started follower of the account's job. Raises `FaultError` before anything is yielded."""
        async with self.heard(account, job, start) as follower:
            await follower.start()
            yield follower

    @asynccontextmanager
    async def heard(self, account: str, job: str, start: Position | None) -> AsyncIterator[Follower]:
        """Yield a follower that hears everything from now on, and is yet to be started."""
        source = Source(
            partial(self._followed, account, job),
            lambda worker, place: page_after(self._bus, worker, job, place),
            self._open_text,
        )
        follower = Follower(job, source, start)
        async with AsyncExitStack() as stack:
            text = await self._bus.subscribe(subjects.live(job), TokenChunk, follower.on_chunk)
            stack.push_async_callback(text.close)
            facts = await self._bus.subscribe(subjects.events_of_job(job), _ANY_FACT, follower.on_fact)
            stack.push_async_callback(facts.close)
            stack.enter_context(self._telling(job, follower))
            stack.push_async_callback(follower.aclose)
            self._open.add(follower)
            stack.callback(self._open.discard, follower)
            if self._is_closing:
                follower.close()
            with streams_open.track_inprogress():
                yield follower

    @asynccontextmanager
    async def ending(self, submission: Submission, *, is_kept: bool) -> AsyncIterator[Ending]:
        """Yield what hears of the end of an awaited job from now on.

        One that is kept may be an old one, and somebody else be told of its end: then the facts about it are heard.
        """
        job = submission.job
        ending = Ending(job, partial(self._ask, submission.account, job, None))
        async with AsyncExitStack() as stack:
            if is_kept:
                facts = await self._bus.subscribe(subjects.events_of_job(job), _ANY_FACT, ending.on_fact)
                stack.push_async_callback(facts.close)
            stack.enter_context(self._telling(job, ending))
            self._open.add(ending)
            stack.callback(self._open.discard, ending)
            yield ending

    async def awaited(self, submission: Submission) -> Submission:
        """Return the submission so that this gateway is told of the job's end."""
        await self._be_told()
        return replace(submission, waiter=self._name)

    async def _followed(self, account: str, job: str) -> Job:
        """Return the job, and perhaps be told of its end: then it need not be asked for again."""
        await self._be_told()
        return await self._ask(account, job, self._name)

    async def _be_told(self) -> None:
        if not self._is_told:
            # Two at once may subscribe twice; to hear an end twice changes nothing, never to hear one would.
            await self._bus.subscribe(subjects.ended(self._name, "*"), Job, self._on_ended)
            self._is_told = True

    @contextmanager
    def _telling(self, job: str, waits: Follower | Ending) -> Iterator[None]:
        """Tell one who waits of the job's end, for the time of the block."""
        self._waiting.setdefault(job, []).append(waits)
        try:
            yield
        finally:
            self._waiting[job].remove(waits)
            if not self._waiting[job]:
                del self._waiting[job]

    async def _on_ended(self, job: Job, _subject: str, _headers: Headers) -> None:
        for waits in self._waiting.get(job.job, ()):
            waits.end(job)

    async def tick(self) -> None:
        """Let every follower look at the time."""
        for follower in tuple(self._open):
            follower.tick(self._rhythm)

    async def reconnected(self) -> None:
        """After a reconnection to NATS every follower may have missed something."""
        for follower in tuple(self._open):
            follower.recheck()

    def close(self) -> None:
        """End all streams, and at once those that still open."""
        self._is_closing = True
        for follower in tuple(self._open):
            follower.close()
