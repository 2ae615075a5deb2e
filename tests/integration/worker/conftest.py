"""A worker in this process, or as a process of its own, and a scripted scheduler that admits it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from gridloom_contract.jobs import Task
from gridloom_contract.work import WorkOrder
from gridloom_kit.run import live
from gridloom_local.nats_config import CALLOUT_USER
from gridloom_testing.builders import a_worker_id, a_worker_token, an_order
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer
from gridloom_worker.service import build
from gridloom_worker.settings import Settings
from integration.worker.scripted import ScriptedScheduler

SYNTHETIC = {"engine": "synthetic", "models": ("synthetic",), "slots": 2}


@pytest.fixture
async def scheduler(bus_for: OpenBus, admission: None) -> ScriptedScheduler:
    """A scheduler that has arrived; workers are admitted."""
    scheduler = ScriptedScheduler(await bus_for("scheduler"))
    await scheduler.arrive()
    return scheduler


class Worker:
    """Somebody to give orders to."""

    def __init__(self, worker: str) -> None:
        self.id = worker

    def order(self, prompt: str = "Say hello", **changes: Any) -> WorkOrder:
        """An order for this worker."""
        return an_order(**({"worker": self.id, "task": Task(prompt=prompt)} | changes))


class LocalWorker(Worker):
    """A worker in this process: `stop` is the first SIGTERM, `hurry` the second."""

    def __init__(self, worker: str, settings: Settings) -> None:
        super().__init__(worker)
        self.settings = settings
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is set."""
        await live(partial(build, stop=self.stop, hurry=self.hurry), self.settings, "worker", self.stop)
        self.ended.set()


class ChildWorker(Worker):
    """A worker as an operator runs it: the command, in a process of its own."""

    def __init__(self, worker: str, process: asyncio.subprocess.Process, folder: Path) -> None:
        super().__init__(worker)
        self.process = process
        self._folder = folder
        self._heard = ""

    def spooled(self) -> list[Path]:
        """The results it keeps on disk."""
        return list((self._folder / "state/gridloom/worker" / self.id).glob("*.json"))

    async def said(self, words: str) -> None:
        """Return once it has said a line with these words (again)."""
        assert self.process.stdout
        async with asyncio.timeout(15):
            while words not in (line := (await self.process.stdout.readline()).decode()):
                assert line, f"it ended without a word of {words}: {self._heard}"
                self._heard += line

    async def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        await self.process.wait()

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> tuple[int, str]:
        """Return its exit code and everything it said."""
        assert self.process.stdout
        self._heard += (await self.process.stdout.read()).decode()
        return await self.process.wait(), self._heard


Employ = Callable[..., Awaitable[LocalWorker]]
Launch = Callable[..., Awaitable[ChildWorker]]


@pytest.fixture
async def employ(nats_server: NatsServer, scheduler: ScriptedScheduler, tmp_path: Path) -> AsyncIterator[Employ]:
    """Starts workers in this process and returns each once it was welcomed; settings go by their names."""
    async with asyncio.TaskGroup() as tasks:
        workers: list[LocalWorker] = []

        async def start(**changes: Any) -> LocalWorker:
            worker = a_worker_id()
            usual = SYNTHETIC | {"spool_dir": str(tmp_path / "spool")}
            settings = Settings(nats_url=nats_server.url, token=a_worker_token(worker), **(usual | changes))
            started = LocalWorker(worker, settings)
            workers.append(started)
            tasks.create_task(started.run())
            await scheduler.heartbeats.next(lambda beat: beat.worker == worker)
            return started

        yield start
        for worker in workers:
            worker.stop.set()
            worker.hurry.set()


@pytest.fixture
async def refusal(nats_server: NatsServer) -> AsyncIterator[None]:
    """Nobody's token is good: what answers the callout is no permission."""
    connection = await nats.connect(nats_server.url, **nats_server.login_of(CALLOUT_USER))

    async def refuse(question: Msg) -> None:
        await question.respond(b"no")

    await connection.subscribe("$SYS.REQ.USER.AUTH", cb=refuse)
    await connection.flush()
    yield
    await connection.close()


@pytest.fixture
async def launch(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Launch]:
    """Starts workers as child processes and returns at once; what is left of them is killed after the test."""
    children: list[ChildWorker] = []

    async def start(
        worker: str | None = None, *options: str, token: str = "", nats: str = "", crash_at: str = ""
    ) -> ChildWorker:
        worker = worker or a_worker_id()
        arguments = ["--token", token or a_worker_token(worker), "--nats", nats or nats_server.url]
        environment = {"GRIDLOOM_CRASH_AT": crash_at} | {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gridloom_worker", *arguments, "--engine", "synthetic", *options),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        children.append(ChildWorker(worker, process, tmp_path))
        return children[-1]

    yield start
    for child in children:
        if child.process.returncode is None:
            await child.kill()
