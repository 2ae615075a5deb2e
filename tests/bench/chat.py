"""`POST /v1/chat/completions`, plain and streaming, through whatever serves it: the engine, a proxy, the grid."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.bench.figures import Figures, p50, percentile
from tests.bench.rawhttp import Connection
from tests.bench.upstream import MODEL

_PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Crowd:
    """So many clients, who make so many calls between them in each of so many rounds."""

    clients: int
    calls: int
    rounds: int


_CROWDS = (Crowd(1, 40, 8), Crowd(16, 320, 3), Crowd(64, 640, 3))
_CALLS_TO_WARM_UP = 100
_PAUSE_SECONDS = 0.3
"""After a turn: what a server still does for calls that are answered must not meet the next one's."""


@dataclass(frozen=True)
class Server:
    """Something that serves chats. `floor` names the one it stands in front of, `peer` the one it is read beside."""

    name: str
    url: str
    key: str = ""
    floor: str | None = None
    peer: str | None = None


class Round(NamedTuple):
    """The milliseconds of each call of a round, and its calls per second."""

    took: list[float]
    rate: float


Measure = Callable[[Server, int, int], Awaitable[Round]]
"""`measure(server, clients, calls)`."""


async def chats(figures: Figures, servers: Sequence[Server]) -> None:
    """Measure latency, throughput and the time to the first token, warm, and server after server in turns.

    The machine's speed changes within minutes: so that meets all alike.
    """
    for server in servers:
        await _plain(server, 1, _CALLS_TO_WARM_UP)
        await _first_tokens(server, 1, _CALLS_TO_WARM_UP)
    for crowd in _CROWDS:
        whole = await _in_turns(servers, _plain, crowd)
        first = await _in_turns(servers, _first_tokens, crowd)
        for server in servers:
            rounds, took = whole[server.name], _calls_of(whole[server.name])
            _add(figures, server, f"chat p50, {crowd.clients} clients", p50(took), "ms")
            _add(figures, server, f"chat p99, {crowd.clients} clients", percentile(took, 0.99), "ms")
            _add(figures, server, f"chats, {crowd.clients} clients", p50([one.rate for one in rounds]), "calls/s")
            words = _calls_of(first[server.name])
            _add(figures, server, f"first token p50, {crowd.clients} clients", p50(words), "ms")
    for server in servers:
        _compare(figures, server)


async def _in_turns(servers: Sequence[Server], measure: Measure, crowd: Crowd) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
    for _ in range(crowd.rounds):
        for server in servers:
            rounds[server.name].append(await measure(server, crowd.clients, crowd.calls))
            await asyncio.sleep(_PAUSE_SECONDS)
    return rounds


def _calls_of(rounds: Sequence[Round]) -> list[float]:
    return [milliseconds for one in rounds for milliseconds in one.took]


def _compare(figures: Figures, server: Server) -> None:
    """Say what a server adds to its engine, and how much it serves beside its peer."""
    if server.floor is not None:
        for measured in ("chat p50", "first token p50"):
            _add_what_it_adds(figures, server, server.floor, f"{measured}, 1 clients")
    if server.peer is not None:
        rate = f"chats, {_CROWDS[-1].clients} clients"
        ours, theirs = f"{server.name}: {rate}", f"{server.peer}: {rate}"
        figures.add(f"{server.name} beside {server.peer}: {rate}", figures.value(ours), "calls/s", theirs)


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


async def _plain(server: Server, clients: int, calls: int) -> Round:
    """Return how long each whole answer took."""
    body, took = _body(stream=False), list[float]()

    async def ask(connection: Connection) -> None:
        started = time.perf_counter()
        answer = await connection.call("POST", _PATH, body)
        if answer.status != 200 or not answer.json()["choices"][0]["message"]["content"]:
            raise RuntimeError(f"{server.name} answered {answer.status}: {answer.body[:200]!r}")
        took.append((time.perf_counter() - started) * 1000)

    seconds = await _all(server, clients, calls, ask)
    return Round(took, len(took) / seconds)


async def _first_tokens(server: Server, clients: int, calls: int) -> Round:
    """Return how long it took from each request to the first word of its stream."""
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
    return Round(took, len(took) / seconds)


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
