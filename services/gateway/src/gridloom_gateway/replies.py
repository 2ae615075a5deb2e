"""Writing answers: Structs become JSON bytes once, and faults carry the headers that HTTP has for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec
from aiohttp import hdrs, web

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_gateway.filling import Rendered, filled
from gridloom_kit.log import get_logger

log = get_logger()

JOB_HEADER: Final = "X-Gridloom-Job"
"""Names the job behind an answer that does not, in the form of the API that answers."""
_JSON: Final = "application/json"
_NO_STORE: Final = "no-store"

encode = msgspec.json.Encoder().encode
"""Returns the bytes that an answer has; a webhook of the same thing has the same ones."""


class Texts(Protocol):
    """Where large texts are kept."""

    def text(self, ref: str, *, is_body: bool) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Open one."""
        ...


def json(body: Any, status: int = 200) -> web.Response:
    """Return `body` as JSON. Nothing here may be kept by a cache: it belongs to one account."""
    return json_bytes(encode(body), status)


def json_bytes(content: bytes, status: int = 200) -> web.Response:
    """Return what is JSON already."""
    headers = {hdrs.CONTENT_TYPE: _JSON, hdrs.CACHE_CONTROL: _NO_STORE}
    return web.Response(body=content, status=status, headers=headers)


async def stream(
    request: web.Request,
    parts: AsyncIterator[bytes],
    stall_seconds: float,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> web.StreamResponse:
    """Answer with JSON as it comes, after these further `headers`.

    If it breaks off, so does the connection: half a document must not look whole.
    """
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: _JSON, hdrs.CACHE_CONTROL: _NO_STORE, **headers})
    await response.prepare(request)
    try:
        async for part in parts:
            async with asyncio.timeout(stall_seconds):
                await response.write(part)
        await response.write_eof()
    except (FaultError, TimeoutError) as error:
        log.warning("answer.broken_off", err=str(error) or type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


async def document(request: web.Request, whole: Rendered, texts: Texts, stall_seconds: float) -> web.StreamResponse:
    """Answer with a document; a large text in it is passed on as it comes.

    Raises `Unavailable` before anything is sent.
    """
    if whole.text_ref is None:
        return json_bytes(whole.content)
    async with texts.text(whole.text_ref, is_body=whole.is_body) as text:
        return await stream(request, filled(whole.content, text), stall_seconds)


def file(content: bytes, content_type: str, name: str) -> web.Response:
    """Return content to be kept as a file called `name`."""
    headers = {
        hdrs.CONTENT_TYPE: content_type,
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
        hdrs.CACHE_CONTROL: _NO_STORE,
    }
    return web.Response(body=content, headers=headers)


def error(body: Any, status: int, fault: Fault) -> web.Response:
    """Return an error in a dialect's own shape, with `Retry-After` and `WWW-Authenticate` where they belong."""
    response = json(body, status)
    if fault.retry_after_seconds is not None:
        response.headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(fault.retry_after_seconds)))
    if fault.code is FaultCode.UNAUTHENTICATED:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response
