"""The real usage service in this process, on real servers, with a scripted scheduler and somebody who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, USAGE
from gridloom_kit.run import live
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, UrlOf
from gridloom_testing.servers import NatsServer
from gridloom_usage.service import build
from gridloom_usage.settings import Settings
from integration.usage.scripted import Asker, ScriptedScheduler

SettingsFor = Callable[..., Settings]
StartUsage = Callable[..., Awaitable["Replica"]]


class Replica:
    """One usage service. Use it with `async with running(…)`."""

    def __init__(self, task: asyncio.Task[None], stop: asyncio.Event) -> None:
        self._task = task
        self._stop = stop

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self._stop.set()
        await asyncio.wait([self._task])


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Replica]:
    """Run a usage service; on leaving, it is stopped in order."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        yield Replica(tasks.create_task(live(build, settings, USAGE, stop)), stop)
        stop.set()


@pytest.fixture
def usage_settings(nats_server: NatsServer, mongo_url_of: UrlOf, database_name: str) -> SettingsFor:
    """Settings of a usage service that waits for nothing; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            "nats_url": nats_server.url,
            "nats_user": USAGE,
            "nats_password": nats_server.secrets.nats_passwords[USAGE],
            "mongo_url": mongo_url_of(USAGE),
            "mongo_database": database_name,
            "settle_seconds": 0.0,
            "stop_grace_seconds": 2.0,
        }
        return Settings(**(usual | changes))

    return settings


@pytest.fixture
async def scheduler(nats_server: NatsServer, bus_for: OpenBus) -> ScriptedScheduler:
    """A scheduler on an empty bus: what an earlier test told is gone."""
    nats_server.wipe_store()
    scripted = ScriptedScheduler(await bus_for(SCHEDULER))
    await scripted.open()
    return scripted


@pytest.fixture
async def asker(bus_for: OpenBus) -> Asker:
    """Somebody who asks."""
    return Asker(await bus_for(GATEWAY), await bus_for(QUOTA))


@pytest.fixture
async def start_usage(usage_settings: SettingsFor, scheduler: ScriptedScheduler) -> AsyncIterator[StartUsage]:
    """Starts one more replica."""
    async with Holder() as holder:

        async def start(**changes: Any) -> Replica:
            return await holder.open(running(usage_settings(**changes)))

        yield start
