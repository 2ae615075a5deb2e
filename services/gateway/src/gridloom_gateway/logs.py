"""The log of a job: what its attempts have said so far, one after the other. It only ever grows.

What an attempt says comes from the token stream, which forgets after minutes; what this gateway has shown it remembers,
so that a log does not shrink while somebody polls it here. The text of a job that succeeded is kept with the job.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gridloom_contract.events import JobAssigned
from gridloom_contract.jobs import Job, Timeline
from gridloom_contract.vocabulary import State
from gridloom_contract.work import TokenChunk
from gridloom_domain.completions import Frames, said_in, shown_text
from gridloom_gateway.frames import text_of_body
from gridloom_gateway.stored import OpenText
from gridloom_gateway.transcript import Print, Transcript

_MOST_REMEMBERED_CHARACTERS: Final = 16 * 1024 * 1024
_BETWEEN: Final = "\n"

AskTimeline = Callable[[str, str], Awaitable[Timeline]]
AskChunks = Callable[[str, str], Awaitable[list[TokenChunk]]]
"""`chunks(worker, job)` returns what the token stream still has."""


@dataclass(frozen=True)
class Log:
    """A text: `said`, and then what `rest` opens, if that is not None, which is too large to be held."""

    said: str
    rest: AbstractAsyncContextManager[AsyncIterator[str]] | None = None


class Logs:
    """Reads logs."""

    def __init__(self, timeline: AskTimeline, chunks: AskChunks, open_text: OpenText) -> None:
        self._timeline = timeline
        self._chunks = chunks
        self._open_text = open_text
        self._memory = _Memory()

    async def of_all(self, jobs: Sequence[Job]) -> list[Log]:
        """Return the log of each job."""
        return await asyncio.gather(*map(self.of, jobs))

    async def of(self, job: Job) -> Log:
        """Return the log as it is now. Raises `FaultError` if it cannot be had."""
        if job.data_removed:
            return Log("")
        is_done = job.state is State.SUCCEEDED
        attempts = await self._attempts(job)
        said = [await self._said(job, *attempt) for attempt in (attempts[:-1] if is_done else attempts)]
        if not is_done:
            return Log(grown(said))
        if job.output_ref is None:
            return Log(grown([*said, shown_text(job) or ""]))
        return await self._with_stored(job, job.output_ref, grown(said))

    async def _attempts(self, job: Job) -> list[tuple[int, str]]:
        if not job.attempt:
            return []
        if job.attempt == 1 and job.worker is not None:
            return [(job.attempt, job.worker)]
        events = (await self._timeline(job.account, job.job)).events
        found = {event.attempt: event.worker for event in events if isinstance(event, JobAssigned)}
        return sorted(found.items())

    async def _said(self, job: Job, attempt: int, worker: str) -> str:
        known = self._memory.get(job.job, attempt)
        chunks = [chunk for chunk in await self._chunks(worker, job.job) if chunk.attempt == attempt]
        text = continued(known, attempt, chunks)
        self._memory.put(job.job, attempt, text)
        return text if job.task.raw is None else "".join(map(said_in, Frames().feed(text)))

    async def _with_stored(self, job: Job, ref: str, before: str) -> Log:
        opening = text_of_body if job.task.raw is not None else _plain
        if before:
            async with opening(self._open_text, ref) as pieces:
                is_repeated = await _starts_with(pieces, before)
            before = "" if is_repeated else f"{before}{_BETWEEN}"
        return Log(before, opening(self._open_text, ref))


def grown(texts: Iterable[str]) -> str:
    """Return the log of attempts that said these texts: what one repeats of all before is not shown twice.

    Each text may grow, and another come after it, and the log only grows. One that says something else begins a line.
    """
    log = ""
    for text in texts:
        if text.startswith(log):
            log = text
        elif not log.startswith(text):
            log = f"{log}{_BETWEEN}{text}"
    return log


def continued(known: str, attempt: int, chunks: Iterable[TokenChunk]) -> str:
    """Return a text that was known so far with what these chunks of the attempt add to it."""
    transcript = Transcript(attempt, len(known))
    new = [transcript.take(chunk) or "" for chunk in sorted(chunks, key=lambda chunk: chunk.offset)]
    return "".join([known, *new])


@asynccontextmanager
async def text_of(log: Log) -> AsyncIterator[AsyncIterator[str]]:
    """Yield the pieces of a log. Entering raises what opening its rest does."""
    if log.rest is None:
        yield _after(log.said, None)
        return
    async with log.rest as rest:
        yield _after(log.said, rest)


async def _after(said: str, rest: AsyncIterator[str] | None) -> AsyncIterator[str]:
    if said:
        yield said
    if rest is not None:
        async for piece in rest:
            yield piece


@asynccontextmanager
async def _plain(open_text: OpenText, ref: str) -> AsyncIterator[AsyncIterator[str]]:
    async with open_text(ref) as pieces:
        yield pieces


async def _starts_with(pieces: AsyncIterator[str], text: str) -> bool:
    heard, position = Print(), 0
    async for piece in pieces:
        heard.add(piece[: len(text) - position])
        position += len(piece)
        if position >= len(text):
            break
    return heard.is_of(text)


class _Memory:
    """What was shown of jobs; the one that nobody asked for longest is forgotten first."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._characters = 0

    def get(self, job: str, attempt: int) -> str:
        return self._texts.get((job, attempt), "")

    def put(self, job: str, attempt: int, text: str) -> None:
        self._characters += len(text) - len(self._texts.pop((job, attempt), ""))
        self._texts[job, attempt] = text
        while self._characters > _MOST_REMEMBERED_CHARACTERS:
            _, forgotten = self._texts.popitem(last=False)
            self._characters -= len(forgotten)
