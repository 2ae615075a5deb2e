"""A worker in this process, or as a process of its own, and a scripted scheduler that admits it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from gridloom_contract.work import WorkOrder
from gridloom_kit.run import live
from gridloom_testing.builders import a_worker_id, a_worker_token, an_order
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer
from gridloom_worker.service import build
from gridloom_worker.settings import Settings

from integration.worker.scripted import ScriptedScheduler


@pytest.fixture
async def scheduler(bus_for: OpenBus, admission: None) -> ScriptedScheduler:
    """A scheduler that has arrived; workers are admitted."""
    scheduler = ScriptedScheduler(await bus_for("scheduler"))
    await scheduler.arrive()
    return scheduler


class LocalWorker:
    """A worker in this process. `stopped` has ended when the worker has."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self.id = worker
        self.settings = settings
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def order(self, prompt: str = "Say hello", **changes: object) -> WorkOrder:
        """An order for this worker."""
        return an_order(**({"worker": self.id} | changes | {"task": changes.get("task") or _task(prompt)}))

    async def run(self) -> None:
        """Work until `stop` is set."""
        await live(partial(build, stop=self.stop, hurry=self.hurry), self.settings, "worker", self.stop)


def _task(prompt: str) -> object:
    from gridloom_contract.jobs import Task

    return Task(prompt=prompt)


Employ = Callable[..., Awaitable[LocalWorker]]


@pytest.fixture
async def employ(
    nats_server: NatsServer, scheduler: ScriptedScheduler, tmp_path: Path
) -> AsyncIterator[Employ]:
    """Starts workers in this process and returns each once it was welcomed; settings go by their names."""
    async with asyncio.TaskGroup() as tasks:
        workers: list[LocalWorker] = []

        async def start(worker: str | None = None, **changes: object) -> LocalWorker:
            worker = worker or a_worker_id()
            usual = {"engine": "synthetic", "models": ("synthetic",), "spool_dir": str(tmp_path), "slots": 2}
            settings = Settings(nats_url=nats_server.url, token=a_worker_token(worker), **(usual | changes))
            started = LocalWorker(settings, worker)
            workers.append(started)
            tasks.create_task(started.run())
            await scheduler.heartbeats.next(lambda beat: beat.worker == worker)
            return started

        yield start
        for worker in workers:
            worker.stop.set()
            worker.hurry.set()
