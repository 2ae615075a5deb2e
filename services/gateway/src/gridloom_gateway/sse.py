"""Server-sent events: how they are framed, and how a reader's updates are written to it without delay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

import msgspec
from aiohttp import web

from gridloom_contract.fault import FaultError
from gridloom_gateway.filling import filled, has_place, with_place
from gridloom_gateway.updates import Closing, Ended, Update
from gridloom_kit.log import get_logger

log = get_logger()

HEARTBEAT: Final = b":\n\n"
_OPENING: Final = b"retry: 1000\n\n"
"""The first bytes, sent before anything has happened."""
HEADERS: Final = {
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


Render = Callable[[Update], bytes]


class Reader(Protocol):
    """Whoever hands out updates: `next` returns at least one."""

    async def next(self) -> list[Update]:
        """Return what is new, waiting for it."""
        ...

    def stored_text(self, ref: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Open an output that is an object."""
        ...


def frame(event: str, body: msgspec.Struct, event_id: str = "") -> bytes:
    """Return one event with `body` as JSON on a single line."""
    data = on_one_line(_encoder.encode(body))
    head = f"event: {event}\nid: {event_id}\ndata: " if event_id else f"event: {event}\ndata: "
    return b"%b%b\n\n" % (head.encode(), data)


def unnamed(body: msgspec.Struct, event_id: str = "") -> bytes:
    """Return one event without a name, as APIs have it whose events are all of one kind."""
    head = f"id: {event_id}\ndata: " if event_id else "data: "
    return b"%b%b\n\n" % (head.encode(), on_one_line(_encoder.encode(body)))


def on_one_line(data: bytes) -> bytes:
    """Return JSON without the characters that some readers take for ends of lines."""
    if not data.isascii():
        for character, escape in _ESCAPES:
            data = data.replace(character, escape)
    return data


async def send(
    request: web.Request,
    reader: Reader,
    render: Render,
    stall_seconds: float,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> web.StreamResponse:
    """Write updates until the last one, after these further `headers`.

    A reader that takes nothing for `stall_seconds` is disconnected.
    """
    response = web.StreamResponse(headers=HEADERS | dict(headers))
    await response.prepare(request)
    await response.write(_OPENING)
    is_over = False
    while not is_over:
        try:
            updates = await reader.next()
            frames = _with_text(updates, render)
            if (ref := _text_of(updates[-1])) is None or not has_place(frames):
                async with asyncio.timeout(stall_seconds):
                    await response.write(frames)
            else:
                await _pass_on(response, frames, reader.stored_text(ref), stall_seconds)
        except FaultError as error:
            # The answer has begun, so the fault can only end it; who reconnects gets to know.
            log.warning("stream.broken", code=str(error.fault.code))
            break
        is_over = isinstance(updates[-1], Ended | Closing)
    await response.write_eof()
    return response


def _text_of(update: Update) -> str | None:
    return update.job.output_ref if isinstance(update, Ended) else None


def _with_text(updates: list[Update], render: Render) -> bytes:
    """Return what updates look like, with a place for the text of the last one."""
    *before, last = updates
    whole = replace(last, job=with_place(last.job)) if _text_of(last) is not None and isinstance(last, Ended) else last
    return b"".join([render(update) for update in (*before, whole)])


async def _pass_on(
    response: web.StreamResponse,
    frames: bytes,
    opening: AbstractAsyncContextManager[AsyncIterator[str]],
    stall_seconds: float,
) -> None:
    """Write frames with a text that is an object, as it comes."""
    async with opening as text:
        async for part in filled(frames, text):
            async with asyncio.timeout(stall_seconds):
                await response.write(on_one_line(part))
