"""The floors: the least that HTTP, JetStream and the engine cost on this machine, in this run."""

from __future__ import annotations

import asyncio
import json
import time

from gridloom_contract import subjects
from gridloom_contract.jobs import Task
from gridloom_contract.work import WorkOrder
from gridloom_kit.bus import Bus
from gridloom_kit.consume import Puller, ensure_consumer
from gridloom_kit.jetstream import Outgoing
from tests.bench.figures import Figures, p50, percentile
from tests.bench.rawhttp import Connection

_REQUESTS = 6_000
_MESSAGES = 10_000
_BATCH = 100


async def wait_until_open(port: int) -> None:
    """Return once somebody listens on `port`. Raises TimeoutError after ten seconds."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


async def bare_http(figures: Figures, upstream: str, clients: int) -> None:
    """An aiohttp server that reads a body and answers one."""
    body = json.dumps({"model": "bench:noop", "prompt": "1 0"}).encode()
    connections = [await Connection.open(upstream) for _ in range(clients)]

    async def ask(connection: Connection) -> None:
        for _ in range(_REQUESTS // clients):
            await connection.call("POST", "/plain", body)

    started = time.perf_counter()
    await asyncio.gather(*(ask(connection) for connection in connections))
    figures.add("bare aiohttp", _REQUESTS / (time.perf_counter() - started), "requests/s")
    for connection in connections:
        await connection.close()


async def bare_jetstream(figures: Figures, bus: Bus, worker: str) -> None:
    """Publish, pull and acknowledge, and nothing else."""
    model, handled, all_handled = "bench:floor", 0, asyncio.Event()
    name = "FLOOR_" + worker
    await bus.js_api(f"STREAM.CREATE.{name}", {"name": name, "subjects": ["floor.>"], "retention": "workqueue"})
    await ensure_consumer(bus, name, worker, ["floor.>"])

    async def handle(_order: WorkOrder, _subject: str) -> None:
        nonlocal handled
        handled += 1
        if handled == _MESSAGES:
            all_handled.set()

    stop = asyncio.Event()
    task = Task(prompt="x")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Puller(bus, (name, worker), WorkOrder, handle, 256).run(stop))
        started = time.perf_counter()
        for first in range(0, _MESSAGES, _BATCH):
            orders = [
                WorkOrder(job=str(n), worker=worker, attempt=1, token="t", model=model, task=task, timeout_seconds=1)
                for n in range(first, first + _BATCH)
            ]
            outgoing = [
                Outgoing(subject=f"floor.{subjects.token(order.job)}", message=order, message_id=order.job)
                for order in orders
            ]
            await bus.publish_many(outgoing)
        await all_handled.wait()
        figures.add("bare JetStream", _MESSAGES / (time.perf_counter() - started), "messages/s")
        stop.set()
    await bus.js_api(f"STREAM.DELETE.{name}")


async def direct_engine(figures: Figures, upstream: str, model: str, clients: int, calls: int) -> None:
    """The engine itself: one chat request of one token, to its end."""
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "1 0"}]}).encode()
    took: list[float] = []

    async def ask() -> None:
        connection = await Connection.open(upstream)
        for _ in range(calls):
            started = time.perf_counter()
            async for _event in connection.events("POST", "/v1/chat/completions", body):
                pass
            took.append((time.perf_counter() - started) * 1000)
        await connection.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    figures.add(f"direct engine call p50, {clients} clients", p50(took), "ms")
    figures.add(f"direct engine call p99, {clients} clients", percentile(took, 0.99), "ms")
