"""A grid that is about to be hurt: its processes, its client, what was promised to it, and the judge at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from gridloom_contract import subjects
from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_kit.mongo import open_database
from gridloom_local.running import Running
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.admission import worker_of
from gridloom_testing.checker import TERMINAL, History, assert_all_ended_once
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid

PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.03
_OPEN = {"$nor": [{"state": {"$in": sorted(TERMINAL)}, "$expr": {"$eq": ["$seq", "$published"]}}]}


@dataclass(frozen=True)
class Hand:
    """A worker process and its identity."""

    worker: str
    process: Running


@dataclass
class Scene:
    """Everything a fault test needs. `accepted` are the jobs whose submission was answered with yes."""

    grid: Grid
    client: ApiClient
    accepted: list[str] = field(default_factory=list)

    async def hire(self, **settings: object) -> Hand:
        """Start one more worker and return once it serves."""
        token = self.grid.enrol()
        process = self.grid.start(WORKER, token, **settings)
        await self.grid.until_ready()
        return Hand(worker_of(token), process)

    async def submit(self, count: int = 1, prompt: str = "hello", **fields: Any) -> list[str]:
        """Submit jobs, all at once; each must be accepted, if not at first."""
        jobs = await asyncio.gather(*(self.insist(self.client, prompt=prompt, **fields) for _ in range(count)))
        return list(jobs)

    async def insist(self, *clients: ApiClient, prompt: str = "hello", **fields: Any) -> str:
        """Submit one job as a client does that does not give up: again, through each of its clients in turn."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for client in clients:
                    job = await self.attempt(client, prompt, **fields)
                    if job is not None:
                        return job
                await asyncio.sleep(_POLL_SECONDS)

    async def attempt(self, client: ApiClient, prompt: str = "hello", **fields: Any) -> str | None:
        """Submit one job once. Return its id if it was accepted, None if the grid could not say so."""
        wish = {"model": "synthetic", "prompt": prompt} | fields
        try:
            answer = await client.call("POST", JOBS, wish)
        except (aiohttp.ClientError, TimeoutError):
            return None
        assert answer.status in {201, 500, 503}, answer
        if answer.status != 201:
            return None
        self.accepted.append(str(answer.body["job_id"]))
        return self.accepted[-1]

    async def until_accepted(self, more: int) -> None:
        """Return once so many further jobs have been accepted."""
        goal = len(self.accepted) + more
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.accepted) < goal:
                await asyncio.sleep(_POLL_SECONDS)

    async def until_shared(self, schedulers: Sequence[Running]) -> None:
        """Return once every shard is looked after, by one of these, and each has its share."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                held = [shards_of(scheduler) for scheduler in schedulers]
                if sum(map(len, held)) == len(set().union(*held)) == subjects.SHARDS and all(held):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def workers_of(self, job: str) -> list[str]:
        """Return the worker of each attempt."""
        return [event["worker"] for event in await self.client.timeline(job) if event["type"] == "assigned"]

    async def judge(self, *, was_wiped: bool = False) -> History:
        """Wait until every job there is has ended, promised or not, and assert that its history is sound."""
        url = self.grid.mongo.url_of("admin", self.grid.database)
        async with open_database(url, self.grid.database) as database:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await database["jobs"].count_documents(_OPEN):
                    await asyncio.sleep(_POLL_SECONDS)
            return await assert_all_ended_once(database, self.grid.nats, self.accepted, was_wiped=was_wiped)


@asynccontextmanager
async def open_scene(grid: Grid, schedulers: int = 1) -> AsyncIterator[Scene]:
    """Start schedulers and a gateway, and yield a client of a new account."""
    for _ in range(schedulers):
        grid.start(SCHEDULER)
    grid.start(QUOTA)
    grid.start(GATEWAY)
    await grid.until_ready()
    async with grid.client() as client:
        yield Scene(grid, client)


async def second_gateway(grid: Grid) -> str:
    """Start another gateway and return its base URL."""
    port = free_port()
    grid.start(GATEWAY, port=port)
    await grid.until_ready()
    return f"http://{LOOPBACK}:{port}"


async def said(process: Running, event: str) -> None:
    """Return once a process has logged this event."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while event not in {told["event"] for told in _log_of(process)}:
            await asyncio.sleep(_POLL_SECONDS)


async def measured(process: Running, metric: str) -> float:
    """Return the sum of a metric over its labels, as the process tells it."""
    url = f"http://{LOOPBACK}:{process.server.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0] == metric)


def _log_of(process: Running) -> list[dict[str, Any]]:
    """Return what a process has logged so far; the last line may not be whole yet."""
    lines = process.server.log.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]


def shards_of(scheduler: Running) -> set[int]:
    """Return the shards that a scheduler says it looks after."""
    held: set[int] = set()
    for told in _log_of(scheduler):
        if told["event"] == "shard.gained":
            held.add(told["shard"])
        elif told["event"] == "shard.lost":
            held.discard(told["shard"])
    return held


def looks_after(scheduler: Running, worker: str) -> bool:
    """Whether a scheduler says that this worker is its own."""
    return subjects.worker_shard(worker) in shards_of(scheduler)
