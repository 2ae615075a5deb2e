"""Bytes to and from an object store by presigned URLs, in pieces: nothing here ever holds a whole object.

A URL is as good as a password, so none is in an error or a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
from yarl import URL

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_kit import metrics
from gridloom_kit.log import get_logger

log = get_logger()

_PIECE_BYTES = 64 * 1024
_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 30.0
_RETRY_AFTER_SECONDS = 2.0
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True)
class Content:
    """What is to be stored: `pieces()` begins anew each time it is called."""

    size_bytes: int
    pieces: Callable[[], AsyncGenerator[bytes, None]]


def content_of(data: bytes) -> Content:
    """Return bytes in memory as content."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            yield bytes(view[start : start + _PIECE_BYTES])

    return Content(len(data), pieces)


def content_of_file(path: Path) -> Content:
    """Return a file as content; it is read while it is sent. Raises OSError if there is none."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece

    return Content(path.stat().st_size, pieces)


class Transfer:
    """Stores and reads objects over one HTTP session.

    Everything raises `FaultError`: `unavailable` if the store does not answer, and the same URL may do later;
    `not_found` if it refuses the URL, which is used up or was for something else.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def put(self, url: str, content: Content, within_seconds: float) -> None:
        """Store an object. It is there for good when this returns."""
        headers = {"Content-Length": str(content.size_bytes)}
        with _asking("put"):
            async with asyncio.timeout(within_seconds), aclosing(content.pieces()) as pieces:
                sending = self._session.put(URL(url, encoded=True), data=pieces, headers=headers, allow_redirects=False)
                async with sending as answer:
                    _check(answer)

    @asynccontextmanager
    async def reading(self, url: str, most_bytes: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the pieces of an object; entering says whether it is there. More than `most_bytes` is `too_large`."""
        with _asking("get"):
            answer = await self._session.get(URL(url, encoded=True), allow_redirects=False)
        # What goes wrong with whoever takes the pieces is no fault of the store, so nothing is translated here.
        async with answer:
            _check(answer)
            _check_size(answer.content_length or 0, most_bytes)
            yield _pieces(answer, most_bytes)

    async def get(self, url: str, most_bytes: int, within_seconds: float) -> bytes:
        """Return a whole object."""
        found = bytearray()
        try:
            async with asyncio.timeout(within_seconds), self.reading(url, most_bytes) as pieces:
                async for piece in pieces:
                    found += piece
        except TimeoutError:
            raise _unavailable(f"it took longer than {within_seconds:g} seconds") from None
        return bytes(found)


@asynccontextmanager
async def open_transfer() -> AsyncIterator[Transfer]:
    """Yield a way to presigned URLs. Connects when it is used."""
    session = aiohttp.ClientSession(
        # Slow readers of some objects must not keep others from theirs: who uses this bounds how many there are.
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )
    async with session:
        yield Transfer(session)


async def _pieces(answer: aiohttp.ClientResponse, most_bytes: int) -> AsyncIterator[bytes]:
    total_bytes = 0
    with _asking("read"):
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            total_bytes += len(piece)
            _check_size(total_bytes, most_bytes)
            yield piece


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _BUSY:
        raise _unavailable(f"it answered {answer.status}")
    message = f"the object store refused the transfer ({answer.status})"
    raise FaultError(Fault(code=FaultCode.NOT_FOUND, message=message))


def _check_size(size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        message = f"an object of at least {size_bytes} bytes exceeds {most_bytes}"
        raise FaultError(Fault(code=FaultCode.TOO_LARGE, message=message))


def _unavailable(why: str) -> FaultError:
    message = f"the object store cannot be reached: {why}"
    fault = Fault(code=FaultCode.UNAVAILABLE, message=message, retryable=True, retry_after_seconds=_RETRY_AFTER_SECONDS)
    return FaultError(fault)


@contextmanager
def _asking(op: str) -> Iterator[None]:
    """Count a transfer by how it ended, and turn what the client raises into faults."""
    code = "canceled"
    try:
        yield
        code = "ok"
    except FaultError as error:
        code = str(error.fault.code)
        raise
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        code = type(error).__name__
        log.warning("transfer.failed", op=op, err=code)
        raise _unavailable(code) from None
    finally:
        metrics.transfers.labels(op, code).inc()
