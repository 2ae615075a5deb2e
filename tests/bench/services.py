"""What stands beside a job: how fast webhooks and the ledger keep up, and what quota, usage and webhooks cost it."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from statistics import mean
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from gridloom_contract.registry import USAGE, WEBHOOK
from gridloom_domain.ids import from_uuid
from gridloom_local.home import Home
from gridloom_local.ports import remembered_ports
from gridloom_local.problems import Problem
from gridloom_local.readiness import says_ready, until
from gridloom_local.supervision import ENDED, Supervisor
from tests.bench import floors
from tests.bench.figures import Figures, p50, percentile
from tests.bench.grid import Grid, child, free_port
from tests.bench.measures import Webhook, noop_jobs
from tests.bench.rawhttp import Connection

_ROUNDS = 2
_WEBHOOKS = 2_000
_DEAD_EVERY = 10
_PATIENCE_SECONDS = 60.0

_BESIDE = (USAGE, WEBHOOK)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
Documents = Collection[dict[str, Any]]
_PLAN = {"daily_tokens": 1_000_000_000, "weekly_tokens": 5_000_000_000, "monthly_tokens": 10_000_000_000}
"""Windows that every job is counted in, and none that is ever full."""


class Services:
    """Stops and starts services of a running grid, as its supervisor does."""

    def __init__(self, grid: Grid) -> None:
        home = Home(grid.home)
        self._supervisor = Supervisor(home)
        self._ports = remembered_ports(home.ports_file)

    async def stop(self, *names: str) -> None:
        """Return once they have ended."""
        for name in names:
            await asyncio.to_thread(self._supervisor.stop, name)
            await until(partial(self._has_ended, name), _PATIENCE_SECONDS, lambda: Problem(f"{names} do not end"))

    async def start(self, *names: str) -> None:
        """Return once they are ready."""
        for name in names:
            await asyncio.to_thread(self._supervisor.start, name)
        for name in names:
            is_ready = says_ready(self._ports[f"{name}_internal"])
            await until(is_ready, _PATIENCE_SECONDS, lambda: Problem(f"{names} are not ready"))

    def _has_ended(self, name: str) -> bool:
        return self._supervisor.processes()[name]["statename"] in ENDED


async def cost_of_services(figures: Figures, grid: Grid, model: str) -> None:
    """Jobs per second without quota, ledger and webhook service beside them and with all three, in turns.

    Also what the ledger reaches with the facts that piled up while nobody read them.
    """
    services = Services(grid)
    alone: list[float] = []
    together: list[float] = []
    ledger: list[float] = []
    for _ in range(_ROUNDS):
        await services.stop(*_BESIDE)
        alone.append(await noop_jobs(grid, model, 64))
        ledger.append(await _ledger_catches_up(grid, services))
        await services.start(WEBHOOK)
        await asyncio.to_thread(_set_plan, grid, _PLAN)
        together.append(await noop_jobs(grid, model, 64))
        await asyncio.to_thread(_set_plan, grid, {})
    figures.add("jobs without quota, usage and webhooks", mean(alone), "jobs/s")
    floor = "jobs without quota, usage and webhooks"
    figures.add("jobs with quota, usage and webhook service", mean(together), "jobs/s", floor)
    figures.add("usage events", max(ledger), "events/s")


def _set_plan(grid: Grid, terms: dict[str, int]) -> None:
    grid.call("PUT", "/admin/v1/plans/default", terms, admin=True)


async def webhooks(figures: Figures, grid: Grid, model: str) -> None:
    """Deliveries a second to one fast receiver, and how long after a job's end the first attempt comes.

    Of the second run's receivers one in ten is dead: half of those refuse, the other half never answer.
    """
    async with _receivers(grid) as (receiver, silent, nobody):
        fast = f"{receiver}/hook"
        rate, late = await _delivered(grid, model, receiver, lambda _: fast)
        figures.add("webhook deliveries to one fast receiver", rate, "webhooks/s")
        figures.add("webhook delay p50, all receivers well", p50(late), "ms")
        dead = (f"{silent}/hook", f"{nobody}/hook")

        def choose(number: int) -> str:
            return fast if number % _DEAD_EVERY else dead[number // _DEAD_EVERY % 2]

        _, late = await _delivered(grid, model, receiver, choose)
        beside = "webhook delay p50, all receivers well"
        figures.add("webhook delay p50, one receiver in ten dead", p50(late), "ms", beside)
        figures.add("webhook delay p99, one receiver in ten dead", percentile(late, 0.99), "ms")


async def _delivered(grid: Grid, model: str, receiver: str, target: Webhook) -> tuple[float, list[float]]:
    """Run jobs with webhooks. Return deliveries per second, and for each its milliseconds after the job's end."""
    tag = uuid.uuid4().hex
    well = sum(target(number).startswith(receiver) for number in range(_WEBHOOKS))
    before = len(await _arrivals(receiver))
    began = time.time()
    await noop_jobs(grid, model, 16, _WEBHOOKS, webhook=target, tag=tag)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(arrivals := await _arrivals(receiver)) < before + well:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(arrivals) - before} of {well} webhooks came within {_PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(0.1)
    ended = await asyncio.to_thread(_ends, grid, tag)
    took = {job: at - ended[job] for job, at in arrivals.items() if job in ended}
    last = max(at for job, at in arrivals.items() if job in ended)
    return well / (last - began), [1000 * seconds for seconds in took.values()]


async def _arrivals(receiver: str) -> dict[str, float]:
    connection = await Connection.open(receiver)
    came = (await connection.call("GET", "/arrivals")).json()
    await connection.close()
    return {from_uuid(job): at for job, at in came.items()}


def _ends(grid: Grid, tag: str) -> dict[str, float]:
    with _open(grid, "jobs") as jobs:
        return {job["_id"]: job["ended_at"].timestamp() for job in jobs.find({"tag": tag}, {"ended_at": 1})}


@asynccontextmanager
async def _receivers(grid: Grid) -> AsyncIterator[tuple[str, str, str]]:
    """The addresses of a fast receiver, of one that never answers, and of nobody."""
    fast, silent, nobody = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "tests.bench.receiver", str(fast), str(silent)]
    with child(command, grid.home / "logs" / "receiver.log"):
        await floors.wait_until_open(fast)
        await floors.wait_until_open(silent)
        yield f"http://127.0.0.1:{fast}", f"http://127.0.0.1:{silent}", f"http://127.0.0.1:{nobody}"


async def _ledger_catches_up(grid: Grid, services: Services) -> float:
    """Start the usage service and return how many of the waiting facts it wrote down per second."""
    with _open(grid, "jobs") as jobs:
        wanted = await asyncio.to_thread(jobs.count_documents, {"ended_at": {"$gt": _LONG_AGO}})
    with _open(grid, "ledger") as ledger:
        before = await asyncio.to_thread(ledger.estimated_document_count)
        await services.start(USAGE)
        first, began = await _until_more(ledger, before)
        written, at = first, began
        while written < wanted:
            written, at = await _until_more(ledger, written)
    return (wanted - first) / (at - began)


async def _until_more(ledger: Documents, than: int) -> tuple[int, float]:
    """Return how many lines there are, once there are more, and when that was seen."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (count := await asyncio.to_thread(ledger.estimated_document_count)) <= than:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the ledger stays at {than} lines")
        await asyncio.sleep(0.005)
    return count, time.monotonic()


@contextmanager
def _open(grid: Grid, collection: str) -> Iterator[Documents]:
    client: MongoClient[dict[str, Any]] = MongoClient(grid.mongo_url, tz_aware=True)
    try:
        yield client.get_default_database()[collection]
    finally:
        client.close()
