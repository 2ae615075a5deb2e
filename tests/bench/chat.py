"""`POST /v1/chat/completions`, plain and streaming, through whatever serves it: the engine, a proxy, the grid."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figures, p50, percentile
from tests.bench.rawhttp import Connection
from tests.bench.upstream import MODEL

_PATH = "/v1/chat/completions"
_CALLS = {1: 200, 16: 640, 64: 1_280}
"""How many calls are made in all with so many clients."""


@dataclass(frozen=True)
class Server:
    """Something that serves chats. `floor` names the one it stands in front of, `peer` the one it is read beside."""

    name: str
    url: str
    key: str = ""
    floor: str | None = None
    peer: str | None = None


async def chats(figures: Figures, server: Server) -> None:
    """Measure one server: latency with one client, throughput with many, and the time to the first token."""
    for clients, calls in _CALLS.items():
        took, rate = await _plain(server, clients, calls)
        _add(figures, server, f"chat p50, {clients} clients", p50(took), "ms")
        _add(figures, server, f"chat p99, {clients} clients", percentile(took, 0.99), "ms")
        _add(figures, server, f"chats, {clients} clients", rate, "calls/s")
        first = await _first_tokens(server, clients, calls // 2)
        _add(figures, server, f"first token p50, {clients} clients", p50(first), "ms")
    if server.floor is not None:
        for measured in ("chat p50", "first token p50"):
            _add_what_it_adds(figures, server, server.floor, f"{measured}, 1 clients")
    if server.peer is not None:
        rate = f"chats, {max(_CALLS)} clients"
        figures.add(
            f"{server.name} beside {server.peer}: {rate}",
            figures.value(f"{server.name}: {rate}"),
            "calls/s",
            f"{server.peer}: {rate}",
        )


def _add_what_it_adds(figures: Figures, server: Server, floor: str, name: str) -> None:
    added = figures.value(f"{server.name}: {name}") - figures.value(f"{floor}: {name}")
    figures.add(added_to(server.name, name), added, "ms", added_to(server.peer, name) if server.peer else None)


def added_to(server: str, name: str) -> str:
    """Return how the figure is called that says what a server adds to one of its engine."""
    return f"{server}: added to {name}"


def _add(figures: Figures, server: Server, name: str, value: float, unit: str) -> None:
    figures.add(f"{server.name}: {name}", value, unit, f"{server.floor}: {name}" if server.floor else None)


def _body(*, stream: bool) -> bytes:
    return json.dumps({"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "1 0"}]}).encode()


async def _plain(server: Server, clients: int, calls: int) -> tuple[list[float], float]:
    """Return the milliseconds of each call, and calls per second."""
    body, took = _body(stream=False), list[float]()

    async def ask(connection: Connection) -> None:
        started = time.perf_counter()
        answer = await connection.call("POST", _PATH, body)
        if answer.status != 200 or not answer.json()["choices"][0]["message"]["content"]:
            raise RuntimeError(f"{server.name} answered {answer.status}: {answer.body[:200]!r}")
        took.append((time.perf_counter() - started) * 1000)

    seconds = await _all(server, clients, calls, ask)
    return took, len(took) / seconds


async def _first_tokens(server: Server, clients: int, calls: int) -> list[float]:
    """Return the milliseconds from each request to the first word of its stream."""
    body, took = _body(stream=True), list[float]()

    async def ask(connection: Connection) -> None:
        started, first = time.time(), 0.0
        async for _event, data, arrived in connection.events("POST", _PATH, body):
            if not first and data != "[DONE]" and _says_something(json.loads(data)):
                first = arrived
        if not first:
            raise RuntimeError(f"{server.name} streamed no word")
        took.append((first - started) * 1000)

    await _all(server, clients, calls, ask)
    return took


def _says_something(chunk: dict[str, Any]) -> bool:
    return any(choice["delta"].get("content") for choice in chunk["choices"])


async def _all(server: Server, clients: int, calls: int, ask: Callable[[Connection], Awaitable[None]]) -> float:
    """Have `clients` connections make all calls between them, after one each to warm up. Return the seconds."""
    connections = [await Connection.open(server.url, server.key) for _ in range(clients)]
    await asyncio.gather(*map(ask, connections))

    async def share(connection: Connection) -> None:
        for _ in range(calls // clients):
            await ask(connection)

    started = time.perf_counter()
    await asyncio.gather(*map(share, connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return seconds
