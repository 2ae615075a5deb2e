"""A keep-alive HTTP/1.1 client as thin as it gets, so that the load generator is not what is measured."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_BUFFERED_BYTES = 1 << 20


@dataclass(frozen=True)
class Answer:
    """Status and body of one answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class Connection:
    """One connection; requests on it follow one another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, base_url: str, key: str = "", *, window_bytes: int = 0) -> Connection:
        """Connect to the host of `base_url`; `key` goes along as a bearer token.

        With a window, what is not read beyond so many bytes stays with the server.
        """
        parts = urlsplit(base_url)
        wire = socket.socket()
        if window_bytes:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        wire.setblocking(False)
        await asyncio.get_running_loop().sock_connect(wire, (parts.hostname, parts.port))
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=wire, limit=window_bytes or _BUFFERED_BYTES)
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        return cls(reader, writer, f"Host: {parts.netloc}\r\n{authorization}")

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        await self._writer.wait_closed()

    def _send(self, method: str, path: str, body: bytes, extra: str = "") -> None:
        content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{extra}{content}\r\n".encode() + body)

    async def _headers(self) -> tuple[int, dict[str, str]]:
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.split("\r\n")
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, value in pairs}

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Return the whole answer to one request."""
        self._send(method, path, body)
        status, headers = await self._headers()
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, b"".join([chunk async for chunk in self._chunks()]))
        return Answer(status, await self._reader.readexactly(int(headers.get("content-length", "0"))))

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int(await self._reader.readline(), 16)
            chunk = await self._reader.readexactly(size + 2)
            if not size:
                return
            yield chunk[:-2]

    async def events(self, method: str, path: str, body: bytes = b"") -> AsyncIterator[tuple[str, str, float]]:
        """Yield `(event, data, arrival)` of a server-sent stream; arrival in wall-clock seconds."""
        self._send(method, path, body, "Accept: text/event-stream\r\n")
        status, headers = await self._headers()
        if status != 200:
            raise RuntimeError(f"{method} {path} answered {status}")
        buffered = b""
        async for chunk in self._body(headers):
            arrived = time.time()
            *frames, buffered = (buffered + chunk).split(b"\n\n")
            for frame in frames:
                fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if ": " in line)
                if "data" in fields:
                    yield fields.get("event", "message"), fields["data"], arrived

    async def _body(self, headers: dict[str, str]) -> AsyncIterator[bytes]:
        if headers.get("transfer-encoding") == "chunked":
            async for chunk in self._chunks():
                yield chunk
            return
        while chunk := await self._reader.read(1 << 16):
            yield chunk
