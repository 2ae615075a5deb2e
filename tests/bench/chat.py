"""`POST /v1/chat/completions`, plain and streaming, through whatever serves it: the engine, a proxy, the grid."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figures, p50, percentile
from tests.bench.rawhttp import Connection
from tests.bench.upstream import MODEL

_PATH = "/v1/chat/completions"
_CALLS = {16: 640, 64: 1_280}
"""How many calls are made in all with so many clients."""
_ROUNDS = 8
_CALLS_A_ROUND = 40
_CALLS_TO_WARM_UP = 100
_PAUSE_SECONDS = 0.3
"""After a turn: what a server still does for calls that are answered must not meet the next one's."""


Measure = Callable[["Server", int, int], Awaitable[tuple[list[float], float]]]
"""`measure(server, clients, calls)` returns the milliseconds of each call, and calls per second."""


@dataclass(frozen=True)
class Server:
    """Something that serves chats. `floor` names the one it stands in front of, `peer` the one it is read beside."""

    name: str
    url: str
    key: str = ""
    floor: str | None = None
    peer: str | None = None


async def alone(figures: Figures, servers: Sequence[Server]) -> None:
    """Measure the latency that one client meets, warm, and server after server in turns.

    The machine's speed changes within minutes: so that meets all alike.
    """
    for name, measure in (("chat", _plain), ("first token", _first_tokens)):
        took = await _in_turns(servers, measure)
        for server in servers:
            _add(figures, server, f"{name} p50, 1 clients", p50(took[server.name]), "ms")
            _add(figures, server, f"{name} p99, 1 clients", percentile(took[server.name], 0.99), "ms")
        for server in servers:
            if server.floor is not None:
                _add_what_it_adds(figures, server, server.floor, f"{name} p50, 1 clients")


async def _in_turns(servers: Sequence[Server], measure: Measure) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        await measure(server, 1, _CALLS_TO_WARM_UP)
    for _ in range(_ROUNDS):
        for server in servers:
            took[server.name] += (await measure(server, 1, _CALLS_A_ROUND))[0]
            await asyncio.sleep(_PAUSE_SECONDS)
    return took


async def crowded(figures: Figures, server: Server) -> None:
    """Measure one server with many clients at once: how many calls it answers, and how late."""
    for clients, calls in _CALLS.items():
        took, rate = await _plain(server, clients, calls)
        _add(figures, server, f"chat p50, {clients} clients", p50(took), "ms")
        _add(figures, server, f"chat p99, {clients} clients", percentile(took, 0.99), "ms")
        _add(figures, server, f"chats, {clients} clients", rate, "calls/s")
        first, _ = await _first_tokens(server, clients, calls // 2)
        _add(figures, server, f"first token p50, {clients} clients", p50(first), "ms")
    if server.peer is not None:
        rate_name = f"chats, {max(_CALLS)} clients"
        figures.add(
            f"{server.name} beside {server.peer}: {rate_name}",
            figures.value(f"{server.name}: {rate_name}"),
            "calls/s",
            f"{server.peer}: {rate_name}",
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


async def _first_tokens(server: Server, clients: int, calls: int) -> tuple[list[float], float]:
    """Return the milliseconds from each request to the first word of its stream, and streams per second."""
    body, took = _body(stream=True), list[float]()

    async def ask(connection: Connection) -> None:
        started, first = time.time(), 0.0
        async for _event, data, arrived in connection.events("POST", _PATH, body):
            if not first and data != "[DONE]" and _says_something(json.loads(data)):
                first = arrived
        if not first:
            raise RuntimeError(f"{server.name} streamed no word")
        took.append((first - started) * 1000)

    seconds = await _all(server, clients, calls, ask)
    return took, len(took) / seconds


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
