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

from gridloom_contract.work import Offer, WorkOrder
from gridloom_domain.errors import Invalid, Upstream
from gridloom_worker.engines.discovery import Discovery, base_of
from gridloom_worker.engines.engine import Emit, Ending
from gridloom_worker.engines.openai_answers import Answer, answer_to
from gridloom_worker.engines.openai_faults import bad_output, frame_fault, refusal
from gridloom_worker.engines.openai_wire import can_do, message_in, request_of
from gridloom_worker.engines.sse import SseEvent, SseOverflow, SseParser

MAX_EVENT_BYTES = 4 * 1024 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_STREAM_BYTES = 512 * 1024 * 1024
CONNECT_SECONDS = 10.0

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
        if not can_do(order.task):
            raise Invalid(f"this worker cannot do {order.task.kind}")
        path, body = request_of(order)
        try:
            async with await self._post(f"{self._base}/{path}", body) as response:
                return await _hear(response, answer_to(order.task, emit))
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
async def open_openai_http(
    url: str, api_key: str, models: tuple[str, ...], embedders: tuple[str, ...] = ()
) -> AsyncIterator[OpenAiHttp]:
    """Yield the engine at `url` (with or without `/v1`); with `models`, only those are offered.

    `embedders` are known to make embeddings: most engines do not say what a model is for.
    """
    headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {api_key}"} if api_key else {})}
    session = aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,  # a few kilobytes must not become a gigabyte
        max_line_size=64 * 1024,
    )
    async with session:
        yield OpenAiHttp(session, base_of(url), Discovery(session, base_of(url), models, embedders))


async def _hear(response: aiohttp.ClientResponse, answer: Answer) -> Ending:
    if response.status >= 300:
        raise refusal(response.status, message_in(await _bounded(response, 64 * 1024)))
    if response.content_type == "application/json":
        answer.take_whole(await _bounded(response, MAX_BODY_BYTES))
        return answer.ending(is_done=False)
    return answer.ending(is_done=await _follow(response, answer))


async def _follow(response: aiohttp.ClientResponse, answer: Answer) -> bool:
    """Read to the end; True if the engine closed the answer. What breaks after the last word costs nothing."""
    parser, total_bytes = SseParser(MAX_EVENT_BYTES), 0
    try:
        async for chunk in response.content.iter_any():
            total_bytes += len(chunk)
            if total_bytes > MAX_STREAM_BYTES:
                raise bad_output(f"the engine sent more than {MAX_STREAM_BYTES} bytes")
            if _take(parser.feed(chunk), answer):
                return True
        return _take(parser.close(), answer)
    except SseOverflow as error:
        raise bad_output(f"the engine sent {error}") from error
    except _BROKEN:
        if not answer.has_finished:
            raise
    return False


def _take(events: list[SseEvent], answer: Answer) -> bool:
    """Hand on events; True if the last one was among them."""
    for event in events:
        if event.data == _DONE:
            return True
        if event.name == b"error":
            raise frame_fault(event.data)
        answer.take(event.data)
    return False


async def _bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            if response.status < 300:
                raise bad_output(f"the engine sent a body of more than {limit_bytes} bytes")
            break
    return bytes(body)
