"""Speaks to everything that speaks OpenAI: Ollama, vLLM, SGLang, LM Studio, llama.cpp's server.

The engine is not trusted to be well-behaved: lines, bodies and silence are bounded, and whatever it does ends in an
answer or in a `FaultError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import msgspec

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.vocabulary import Kind
from gridloom_contract.work import Offer, WorkOrder
from gridloom_domain.errors import Invalid, Upstream
from gridloom_worker.engines.discovery import Discovery, base_of
from gridloom_worker.engines.engine import Emit, Ending
from gridloom_worker.engines.openai_wire import Chunk, WireUsage, message_in, read, request_of, status_in
from gridloom_worker.engines.sse import SseEvent, SseOverflow, SseParser

MAX_EVENT_BYTES = 4 * 1024 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_STREAM_BYTES = 512 * 1024 * 1024
MAX_MESSAGE_BYTES = 1024
CONNECT_SECONDS = 10.0

_TRY_ELSEWHERE = frozenset({401, 403, 404, 407, 408, 409, 425, 429})
"""Refusals that blame this engine or this moment, not the caller's request."""

_JSON = {"Content-Type": "application/json"}
_DONE = b"[DONE]"
_BROKEN = (aiohttp.ClientError, OSError)


class OpenAiHttp:
    """An engine behind an OpenAI-compatible HTTP API."""

    name = "openai_http"

    def __init__(self, session: aiohttp.ClientSession, base: str, discovery: Discovery) -> None:
        self.unsettled = asyncio.Event()
        self._session = session
        self._base = base
        self._discovery = discovery

    async def discover(self) -> tuple[Offer, ...]:
        """Return the models the engine lists, with what else it tells about them; none while it cannot be reached."""
        return await self._discovery.offers()

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        """Stream the engine's answer. Closing the connection (by canceling) is how the engine learns to stop."""
        if order.task.kind not in (Kind.CHAT, Kind.COMPLETION):
            raise Invalid(f"this worker cannot do {order.task.kind}")
        path, body = request_of(order)
        try:
            async with await self._post(f"{self._base}/{path}", body) as response:
                return await _answer(response, emit)
        except aiohttp.ClientConnectorError as error:
            self.unsettled.set()
            raise Upstream("the engine cannot be reached") from error
        except _BROKEN as error:
            raise Upstream(f"the connection to the engine broke ({type(error).__name__})") from error

    async def _post(self, url: str, body: bytes) -> aiohttp.ClientResponse:
        """Ask once more if a connection kept from an earlier request turns out to be closed by the engine meanwhile."""
        post = partial(self._session.post, url, data=body, headers=_JSON, allow_redirects=False)
        try:
            return await post()
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await post()

    async def close(self) -> None:
        """Nothing to give back: the session belongs to who opened it."""


@asynccontextmanager
async def open_openai_http(url: str, api_key: str, models: tuple[str, ...]) -> AsyncIterator[OpenAiHttp]:
    """Yield the engine at `url` (with or without `/v1`); with `models`, only those are offered."""
    headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {api_key}"} if api_key else {})}
    session = aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,  # a few kilobytes must not become a gigabyte
        max_line_size=64 * 1024,
    )
    async with session:
        yield OpenAiHttp(session, base_of(url), Discovery(session, base_of(url), models))


async def _answer(response: aiohttp.ClientResponse, emit: Emit) -> Ending:
    if response.status >= 300:
        raise _refusal(response.status, message_in(await _bounded(response, 64 * 1024)))
    if response.content_type == "application/json":
        return _whole(await _bounded(response, MAX_BODY_BYTES), emit)
    return await _Stream(emit).follow(response)


def _whole(body: bytes, emit: Emit) -> Ending:
    """Some engines answer in one piece however they are asked."""
    stream = _Stream(emit)
    stream.take(SseEvent(b"", body))
    return stream.ending()


class _Stream:
    """One answer as it comes in: hands on the text and remembers how it ended."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._finish_reason: str | None = None
        self._usage = WireUsage()
        self._is_done = False

    async def follow(self, response: aiohttp.ClientResponse) -> Ending:
        """Read to the end. A connection that breaks after the last word costs nothing."""
        parser, total_bytes = SseParser(MAX_EVENT_BYTES), 0
        try:
            async for chunk in response.content.iter_any():
                total_bytes += len(chunk)
                if total_bytes > MAX_STREAM_BYTES:
                    raise _bad_output(f"the engine sent more than {MAX_STREAM_BYTES} bytes")
                self._take_all(parser.feed(chunk))
                if self._is_done:
                    return self.ending()
            self._take_all(parser.close())
        except SseOverflow as error:
            raise _bad_output(f"the engine sent {error}") from error
        except _BROKEN:
            if self._finish_reason is None:
                raise
        return self.ending()

    def _take_all(self, events: list[SseEvent]) -> None:
        for event in events:
            if event.data == _DONE:
                self._is_done = True
                return
            self.take(event)

    def take(self, event: SseEvent) -> None:
        """Hand on the text of one frame. Raises the engine's own error if the frame is one."""
        if event.name == b"error":
            raise _frame_fault(event.data)
        try:
            chunk = read(event.data, Chunk)
        except (ValueError, RecursionError) as error:
            raise _bad_output("the engine sent a frame that is no OpenAI chunk") from error
        if chunk.error is not None:
            raise _frame_fault(msgspec.json.encode({"error": chunk.error}))
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.index == 0:
                self._finish_reason = choice.finish_reason or self._finish_reason
                if piece := choice.piece():
                    self._emit(piece)

    def ending(self) -> Ending:
        """Return how the answer ended. Raises `FaultError` if it never did."""
        if self._finish_reason is None and not self._is_done:
            raise Upstream("the engine's answer stopped in the middle")
        return Ending(finish_reason=self._finish_reason or "stop", usage=self._usage.as_counts())


async def _bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            if response.status < 300:
                raise _bad_output(f"the engine sent a body of more than {limit_bytes} bytes")
            break
    return bytes(body)


def _refusal(status: int, message: str) -> FaultError:
    """An engine's refusal as a fault: the caller's mistake is final, anything else may go better elsewhere."""
    said = _cut(message) or "no reason given"
    if status >= 500 or status < 400 or status in _TRY_ELSEWHERE:
        return Upstream(f"the engine answered {status}: {said}")
    return Invalid(f"the engine refused the request ({status}): {said}")


def _frame_fault(data: bytes) -> FaultError:
    try:
        content = read(data, dict)
    except (ValueError, RecursionError):
        content = {}
    return _refusal(status_in(content.get("error", content)), message_in(data))


def _cut(message: str) -> str:
    return message.strip().encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")


def _bad_output(message: str) -> FaultError:
    return FaultError(Fault(code=FaultCode.BAD_OUTPUT, message=message, retryable=True))
