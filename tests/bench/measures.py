"""What the grid itself reaches, over HTTP, with the durable path in between."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable

from tests.bench.figures import Figures, p50, percentile
from tests.bench.grid import Grid
from tests.bench.rawhttp import Connection
from tests.bench.upstream import MODEL

_SUBMISSIONS = 10_000
_NOOP_JOBS = 5_000
_STREAMS = 16
_TOKENS_A_STREAM = 2_000


Webhook = Callable[[int], str]


class Refused(RuntimeError):
    """The grid did not do what the measurement needs."""


def _body(model: str, prompt: str, **more: object) -> bytes:
    return json.dumps({"model": model, "prompt": prompt, **more}).encode()


async def _submit(connection: Connection, body: bytes) -> str:
    answer = await connection.call("POST", "/api/v1/jobs", body)
    if answer.status != 201:
        raise Refused(f"a submission was answered {answer.status}: {answer.body[:200]!r}")
    return str(answer.json()["job_id"])


async def _run_to_end(connection: Connection, body: bytes) -> list[tuple[str, float]]:
    """Submit, follow the stream to `done`, and return the texts with their arrival."""
    job = await _submit(connection, body)
    texts: list[tuple[str, float]] = []
    async for event, data, arrived in connection.events("GET", f"/api/v1/jobs/{job}/stream"):
        if event == "token":
            texts.append((json.loads(data)["text"], arrived))
        elif event == "done" and json.loads(data)["status"] != "completed":
            raise Refused(f"job {job} ended badly: {data[:300]}")
    return texts


async def durable_latency(figures: Figures, grid: Grid, clients: int, calls: int) -> None:
    """One token through the whole grid, submission to `done`, beside the engine called directly."""
    took: list[float] = []

    async def ask() -> None:
        connection = await Connection.open(grid.url, grid.api_key)
        for _ in range(calls):
            started = time.perf_counter()
            await _run_to_end(connection, _body(MODEL, "1 0"))
            took.append((time.perf_counter() - started) * 1000)
        await connection.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    for name, value in (("p50", p50(took)), ("p99", percentile(took, 0.99))):
        floor = f"direct engine call {name}, {clients} clients"
        figures.add(f"durable path {name}, {clients} clients", value, "ms", floor)
        figures.add(f"added latency {name}, {clients} clients", value - figures.value(floor), "ms")


async def submissions(figures: Figures, grid: Grid, model: str, clients: int) -> None:
    """Jobs accepted (each majority-journaled before its answer); no worker takes them meanwhile."""
    body = _body(model, "1 0", tag="submissions")
    connections = [await Connection.open(grid.url, grid.api_key) for _ in range(clients)]

    async def ask(connection: Connection) -> None:
        for _ in range(_SUBMISSIONS // clients):
            await _submit(connection, body)

    started = time.perf_counter()
    await asyncio.gather(*(ask(connection) for connection in connections))
    figures.add("submissions", _SUBMISSIONS / (time.perf_counter() - started), "jobs/s", "bare aiohttp")
    await connections[0].call("DELETE", "/api/v1/jobs/cancel_all")
    for connection in connections:
        await connection.close()


async def noop_jobs(
    grid: Grid, model: str, clients: int, count: int = _NOOP_JOBS, *, webhook: Webhook | None = None, tag: str = ""
) -> float:
    """Jobs that cost the engine nothing, per second, from the first submission to the last stored result.

    `webhook` gives the n-th job's `webhook_url`.
    """
    tag = tag or uuid.uuid4().hex
    numbers = iter(range(count))
    connections = [await Connection.open(grid.url, grid.api_key) for _ in range(clients)]

    async def ask(connection: Connection) -> None:
        for number in numbers:
            hook = {"webhook_url": webhook(number)} if webhook else {}
            await _submit(connection, _body(model, "nothing", tag=tag, **hook))

    started = time.perf_counter()
    await asyncio.gather(*(ask(connection) for connection in connections))
    await _wait_for_results(connections[0], tag, count)
    seconds = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return count / seconds


async def _wait_for_results(connection: Connection, tag: str, wanted: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        answer = await connection.call("GET", f"/api/v1/jobs?status=completed&tag={tag}")
        if answer.json()["total"] >= wanted:
            return
        await asyncio.sleep(0.1)
    raise Refused(f"{wanted} no-op jobs did not end within 120 s")


async def relayed_tokens(figures: Figures, grid: Grid) -> None:
    """Tokens per second through one gateway with many streams open, and what the relay adds to one token."""
    started = time.perf_counter()
    flood = _body(MODEL, f"{_TOKENS_A_STREAM} 0")
    connections = [await Connection.open(grid.url, grid.api_key) for _ in range(_STREAMS)]
    everything = await asyncio.gather(*(_run_to_end(connection, flood) for connection in connections))
    count = sum(len("".join(text for text, _ in texts).split()) for texts in everything)
    if count != _STREAMS * _TOKENS_A_STREAM:
        raise Refused(f"{count} tokens arrived of {_STREAMS * _TOKENS_A_STREAM}")
    figures.add("tokens relayed", count / (time.perf_counter() - started), "tokens/s")
    paced = await _run_to_end(connections[0], _body(MODEL, "300 5"))
    late = [(arrived - float(stamp)) * 1000 for text, arrived in paced for stamp in text.split() if len(stamp) == 17]
    figures.add("token latency through the grid p50", p50(late), "ms", "token latency direct p50")
    figures.add("token latency through the grid p99", percentile(late, 0.99), "ms")
    for connection in connections:
        await connection.close()


async def direct_tokens(figures: Figures, upstream: str) -> None:
    """The same stamps read from the engine itself."""
    body = json.dumps({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "300 5"}]}).encode()
    connection = await Connection.open(upstream)
    late: list[float] = []
    async for _event, data, arrived in connection.events("POST", "/v1/chat/completions", body):
        if data != "[DONE]" and (choices := json.loads(data)["choices"]) and "content" in choices[0]["delta"]:
            late.append((arrived - float(choices[0]["delta"]["content"])) * 1000)
    figures.add("token latency direct p50", p50(late), "ms")
    await connection.close()
