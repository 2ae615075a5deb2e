"""The end of a stream whose text is an object: what its reader lacks of it, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from gridloom_contract.jobs import Job
from gridloom_gateway.transcript import Transcript
from gridloom_gateway.updates import Ended, Said, StartedOver, Update

OpenText = Callable[[str], AbstractAsyncContextManager[AsyncIterator[str]]]


async def rest_of(job: Job, ref: str, transcript: Transcript, open_text: OpenText) -> AsyncGenerator[Update, None]:
    """Yield what is missing, all of it if what was sent is not its beginning, and the end. Raises `FaultError`.

    The text is read twice if something was sent before: first to compare that, with nothing kept of it.
    """
    has_start = transcript.attempt == job.attempt and await _is_start(ref, transcript, open_text)
    if transcript.sent and not has_start:
        yield StartedOver(job.attempt)
    known, position = transcript.sent if has_start else 0, 0
    async with open_text(ref) as pieces:
        async for piece in pieces:
            new = piece[max(0, known - position) :]
            position += len(piece)
            if new:
                yield Said(new, job.attempt, position)
    yield Ended(job, position)


async def _is_start(ref: str, transcript: Transcript, open_text: OpenText) -> bool:
    if not transcript.sent:
        return True
    async with open_text(ref) as pieces:
        return await transcript.is_start_of(pieces)
