"""How a stream is written to OpenAI's clients: at once, and with nothing that their readers take for an event.

The official Python client takes each empty line after an `id:` for the end of an event, even one without data. So a
sign of life is a comment alone, and there is no word about when to reconnect.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from aiohttp import web

from gridloom_contract.fault import FaultError
from gridloom_gateway import sse
from gridloom_gateway.updates import Update
from gridloom_kit.log import get_logger

log = get_logger()

SIGN_OF_LIFE: Final = b":\n"
JOB_HEADER: Final = "X-Gridloom-Job"


class Reader(Protocol):
    """Whoever hands out updates."""

    async def next(self) -> list[Update]:
        """Return what is new, waiting for it. Raises `FaultError` if the job is gone."""
        ...


class Events(Protocol):
    """What a reader gets to see; `is_over` once nothing may follow."""

    @property
    def is_over(self) -> bool:
        """Whether nothing may follow."""
        ...

    def opening(self) -> bytes:
        """Return what can be said before the engine says anything."""
        ...

    def of(self, update: Update) -> bytes:
        """Return the events for one update."""
        ...


async def send(
    request: web.Request, reader: Reader, events: Events, job_name: str, stall_seconds: float
) -> web.StreamResponse:
    """Write events until the last one. A reader that takes nothing for `stall_seconds` is disconnected."""
    response = web.StreamResponse(headers=sse.HEADERS | {JOB_HEADER: job_name})
    await response.prepare(request)
    await response.write(events.opening() or SIGN_OF_LIFE)
    try:
        while not events.is_over:
            data = b"".join([events.of(update) for update in await reader.next()])
            if data:
                async with asyncio.timeout(stall_seconds):
                    await response.write(data)
        await response.write_eof()
    except FaultError as error:
        # The answer has begun, so the fault can only end it; who reconnects gets to know.
        log.warning("stream.broken", code=str(error.fault.code))
    except TimeoutError:
        log.info("stream.not_read", job=job_name)
        if request.transport is not None:
            request.transport.abort()
    return response
