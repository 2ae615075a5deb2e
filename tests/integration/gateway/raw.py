"""HTTP by hand: what no well-behaved client would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gridloom_testing.clients import JOBS

_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class RawAnswer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> RawAnswer:
        """Return the next answer. Raises TimeoutError, and asyncio.IncompleteReadError if the line is cut."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return RawAnswer(int(first.split()[1]), headers, body)

    async def is_cut_within(self, seconds: float) -> bool:
        """Whether the other side ends the connection within this time."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """Open a connection to the gateway."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def head(key: str, *lines: str, method: str = "POST", path: str = JOBS) -> bytes:
    """Return the head of a request with this key and these header lines."""
    first = (f"{method} {path} HTTP/1.1", "Host: grid", f"Authorization: Bearer {key}")
    return ("\r\n".join((*first, *lines)) + "\r\n\r\n").encode("latin-1")
