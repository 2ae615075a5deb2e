"""Services that run in the test's own process, over real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from gridloom_kit.run import Build, live
from gridloom_kit.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)


class Replica:
    """One running service: `stop` ends it in order, `kill` at once."""

    def __init__(self, task: asyncio.Task[None], stop: asyncio.Event) -> None:
        self._task = task
        self._stop = stop

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self._stop.set()
        await asyncio.wait([self._task])

    async def kill(self) -> None:
        """End it without any of its last steps."""
        self._task.cancel()
        await asyncio.wait([self._task])


@asynccontextmanager
async def running(build: Build[S], settings: S, name: str) -> AsyncIterator[Replica]:
    """Run a service; on leaving, it is stopped in order."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        yield Replica(tasks.create_task(live(build, settings, name, stop)), stop)
        stop.set()
