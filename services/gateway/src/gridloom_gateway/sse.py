"""Server-sent events: how they are framed, and how a reader's updates are written to it without delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from aiohttp import web

from gridloom_contract.fault import FaultError
from gridloom_gateway.updates import Closing, Ended, Update
from gridloom_kit.log import get_logger

log = get_logger()

HEARTBEAT: Final = b":\n\n"
_OPENING: Final = b"retry: 1000\n\n"
"""The first bytes, sent before anything has happened."""
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}

_encoder = msgspec.json.Encoder()
# Legal in JSON, but ends of line to JavaScript and to some line readers.
_ESCAPES: Final = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)


class Reader(Protocol):
    """Whoever hands out updates: `next` returns at least one."""

    async def next(self) -> list[Update]:
        """Return what is new, waiting for it."""
        ...


def frame(event: str, body: msgspec.Struct, event_id: str = "") -> bytes:
    """Return one event with `body` as JSON on a single line."""
    data = _encoder.encode(body)
    if not data.isascii():
        for character, escape in _ESCAPES:
            data = data.replace(character, escape)
    head = f"event: {event}\nid: {event_id}\ndata: " if event_id else f"event: {event}\ndata: "
    return b"%b%b\n\n" % (head.encode(), data)


async def send(
    request: web.Request, reader: Reader, render: Callable[[Update], bytes], stall_seconds: float
) -> web.StreamResponse:
    """Write updates until the last one. A reader that takes nothing for `stall_seconds` is disconnected."""
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    await response.write(_OPENING)
    is_over = False
    while not is_over:
        try:
            updates = await reader.next()
        except FaultError as error:
            # The answer has begun, so the fault can only end it; who reconnects gets to know.
            log.warning("stream.broken", code=str(error.fault.code))
            break
        async with asyncio.timeout(stall_seconds):
            await response.write(b"".join([render(update) for update in updates]))
        is_over = isinstance(updates[-1], Ended | Closing)
    await response.write_eof()
    return response
