"""Receivers of webhooks on real sockets: well-behaved ones, and every kind of bad one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from zlib import compressobj

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    """What arrived. Header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: datetime

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """Listens on `url`; `behaviours` are used one a request, the last one again and again."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.requests: list[Request] = []
        self.running = 0
        self.most_at_once = 0
        self.url = ""
        self._arrived = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
            async with self._arrived:
                self.requests.append(request)
                behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                self._arrived.notify_all()
            try:
                await behaviour(request, writer)
            finally:
                self.running -= 1
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def received(self, count: int, within_seconds: float = 20.0) -> list[Request]:
        """Return what arrived once there are `count` requests."""
        async with asyncio.timeout(within_seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return list(self.requests)


@asynccontextmanager
async def listening(*behaviours: Behaviour) -> AsyncIterator[Receiver]:
    """Yield a receiver; on leaving, whoever it still keeps waiting is cut off."""
    receiver = Receiver(*(behaviours or (ok,)))
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        if serving:
            await asyncio.wait(serving)


def status(code: int, *headers: str, body: bytes = b"") -> Behaviour:
    """Answer so."""

    async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


ok = status(200)


def after(seconds: float, then: Behaviour = ok) -> Behaviour:
    """Be slow."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(request, writer)

    return answer


async def silent(_request: Request, _writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.Event().wait()


async def reset(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Break the connection off with a TCP reset."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


async def endless_headers(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Send headers for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while True:
        number += 1
        writer.write(b"X-Header-%d: %s\r\n" % (number, b"x" * 1000))
        await writer.drain()


async def endless_body(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a body for ever, as fast as it is taken."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def dripping_body(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a body for ever, one byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


def _packed_zeros(megabytes: int) -> bytes:
    packer = compressobj(9, wbits=31)
    return b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(megabytes)) + packer.flush()


_BOMB = _packed_zeros(20)


async def gzip_bomb(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a body of a few kilobytes that unpacks to twenty megabytes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB)
    await writer.drain()


async def endless_continue(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Ask for more for ever, and never answer."""
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def nonsense(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Speak another protocol."""
    writer.write(b"220 smtp.example.org ESMTP\r\n")
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(head[0].split(" ")[1], headers, body, datetime.now(UTC))
