"""Five hundred chats streamed at once for half a minute, beside one reader that is slower than its stream."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.request import urlopen
from zlib import crc32

from gridloom_contract.registry import GATEWAY
from gridloom_local.home import Home
from gridloom_local.ports import remembered_ports
from gridloom_worker.engines.synthetic import repeated, word
from tests.bench.figures import Bound, Figures, p50, percentile
from tests.bench.grid import Grid
from tests.bench.rawhttp import Connection

MODEL = "bench:paced"
SLOTS = 256
"""Of each of the two workers: one for every reader, and some."""

_PATH = "/v1/chat/completions"
_READERS = 500
_SECONDS = 30
_TOKENS_PER_SECOND = 10
_TOKENS = _SECONDS * _TOKENS_PER_SECOND
_EARLY_SECONDS = 5.0
_PROBE_SECONDS = 0.5

_SLOW_REPEAT = 8_000
"""Makes some 48 KB of each token: four times what the slow reader takes, and more than the sockets hold in between."""
_SLOW_BYTES_PER_SECOND = 128 * 1024
_SLOW_SOCKET_BYTES = 16 * 1024

_GAP = "500 streams: an engine's gap between tokens"
_BEGIN = "500 streams: gateway memory, all connected"
_EARLY = "500 streams: gateway memory after 5 s"
_END = "500 streams: gateway memory after 30 s"
BOUNDS = (
    Bound("500 streams: gap p50", _GAP, 1.5, at_least=False),
    Bound("500 streams: gap p99", _GAP, 10, at_least=False),
    Bound(_END, _BEGIN, 1.15, at_least=False),
)
"""A reader is as fast as its engine, and a stream costs the gateway no more for having lasted."""


@dataclass
class _Reader:
    """What one client has read."""

    number: int
    repeat: int = 1
    text: str = ""
    arrivals: list[float] = field(default_factory=list)
    is_done: bool = False

    @property
    def prompt(self) -> str:
        return f"reader {self.number} [[tokens={_TOKENS}]] [[rate={_TOKENS_PER_SECOND}]] [[repeat={self.repeat}]]"

    @property
    def body(self) -> bytes:
        messages = [{"role": "user", "content": self.prompt}]
        return json.dumps({"model": MODEL, "stream": True, "messages": messages}).encode()

    def take(self, data: str, arrived: float) -> None:
        if self.is_done:
            raise RuntimeError(f"reader {self.number} was told {data!r} after the end")
        if data == "[DONE]":
            self.is_done = True
            return
        for choice in json.loads(data)["choices"]:
            if said := choice["delta"].get("content"):
                self.text += said
                self.arrivals.append(arrived)

    def judge(self) -> None:
        """Raise RuntimeError unless every token came, once and in order, and then the end."""
        seed = crc32(self.prompt.encode())
        wanted = "".join(repeated(word(seed, index), self.repeat) for index in range(_TOKENS))
        if not self.is_done or self.text != wanted:
            raise RuntimeError(f"reader {self.number} has {len(self.text)} of {len(wanted)} characters")


async def many_streams(figures: Figures, grid: Grid) -> None:
    """Tokens, gaps, and what the gateway keeps in memory. Raises RuntimeError if a reader missed a token."""
    readers = [_Reader(number) for number in range(_READERS)]
    slow = _Reader(_READERS, repeat=_SLOW_REPEAT)
    memory = _Memory(grid)
    connections = [await Connection.open(grid.url, grid.api_key) for _ in readers]
    started = time.time()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(memory.watch())
        dawdling = group.create_task(_read_slowly(grid, slow, are_over := asyncio.Event()))
        everyone = [group.create_task(_read(*pair)) for pair in zip(connections, readers, strict=True)]
        await asyncio.wait(everyone)
        ended, slow_megabytes = time.time(), len(slow.text) / 1e6
        watching.cancel()
        are_over.set()
        await dawdling
    for reader in (*readers, slow):
        reader.judge()
    figures.add("500 streams: tokens", _READERS * _TOKENS / (ended - started), "tokens/s")
    figures.add("500 streams: read by the slow reader meanwhile", slow_megabytes, "MB")
    _add_gaps(figures, readers)
    memory.add_to(figures, started)


def _add_gaps(figures: Figures, readers: list[_Reader]) -> None:
    gaps = [
        (later - earlier) * 1000
        for reader in readers
        for earlier, later in zip(reader.arrivals, reader.arrivals[1:], strict=False)
    ]
    figures.add(_GAP, 1000 / _TOKENS_PER_SECOND, "ms")
    for name, value in (("p50", p50(gaps)), ("p99", percentile(gaps, 0.99)), ("max", max(gaps))):
        figures.add(f"500 streams: gap {name}", value, "ms", _GAP)


async def _read(connection: Connection, reader: _Reader) -> None:
    async for _event, data, arrived in connection.events("POST", _PATH, reader.body):
        reader.take(data, arrived)
    await connection.close()


async def _read_slowly(grid: Grid, reader: _Reader, are_over: asyncio.Event) -> None:
    """Read less than is said while the others read, and then the rest as fast as it comes."""
    connection = await Connection.open(grid.url, grid.api_key, window_bytes=_SLOW_SOCKET_BYTES)
    read_bytes, began = 0, time.time()
    async for _event, data, arrived in connection.events("POST", _PATH, reader.body):
        reader.take(data, arrived)
        read_bytes += len(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(began + read_bytes / _SLOW_BYTES_PER_SECOND - time.time()):
                await are_over.wait()
    await connection.close()


class _Memory:
    """Watches what the gateway holds: streams, and bytes."""

    def __init__(self, grid: Grid) -> None:
        port = remembered_ports(Home(grid.home).ports_file)[f"{GATEWAY}_internal"]
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._seen: list[tuple[float, float, float]] = []

    async def watch(self) -> None:
        """Look until canceled."""
        async for text in self._looks():
            lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
            values = {name: float(value) for name, value, *_ in lines if "{" not in name}
            seen = values["gridloom_streams_open"], values["process_resident_memory_bytes"] / (1 << 20)
            self._seen.append((time.time(), *seen))

    async def _looks(self) -> AsyncIterator[str]:
        while True:
            yield await asyncio.to_thread(self._look)
            await asyncio.sleep(_PROBE_SECONDS)

    def _look(self) -> str:
        with urlopen(self._url, timeout=5) as answer:
            return str(answer.read().decode())

    def add_to(self, figures: Figures, started: float) -> None:
        """Note the memory once all were connected, and when the first were about to leave."""
        full = [(at, mebibytes) for at, streams, mebibytes in self._seen if streams > _READERS]
        if not full or full[-1][0] - full[0][0] < _SECONDS / 2:
            raise RuntimeError(f"{_READERS} streams were not open at once for long: {len(full)} looks")
        early = next(look for look in full if look[0] >= started + _EARLY_SECONDS)
        for name, look in ((_BEGIN, full[0]), (_EARLY, early), (_END, full[-1])):
            figures.add(name, look[1], "MiB")
        figures.add("500 streams: all were connected after", full[0][0] - started, "s")
        figures.add("500 streams: all were connected for", full[-1][0] - full[0][0], "s")
