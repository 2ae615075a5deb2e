"""The real quota service in this process, on real servers; the test plays gateway, scheduler and usage service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gridloom_contract.streams import STREAMS
from gridloom_kit.clock import SystemClock
from gridloom_kit.run import live
from gridloom_kit.streams import ensure_streams
from gridloom_quota.service import build
from gridloom_quota.settings import Settings
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, UrlOf
from gridloom_testing.servers import NatsServer
from integration.quota.scripted import Gateway, Ledger, Scheduler

SettingsFor = Callable[..., Settings]
StartQuota = Callable[..., Awaitable["Replica"]]


class ShiftedClock(SystemClock):
    """The clock of this machine, put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time of day, put forward."""
        return super().now() + self.ahead


class Replica:
    """One quota service. `clock` is its own."""

    def __init__(self, clock: ShiftedClock, task: asyncio.Task[None]) -> None:
        self.clock = clock
        self._task = task

    async def kill(self) -> None:
        """End it without any of its last steps."""
        self._task.cancel()
        await asyncio.wait([self._task])


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Replica]:
    """Run a quota service; on leaving, it is stopped in order."""
    stop, clock = asyncio.Event(), ShiftedClock()
    async with asyncio.TaskGroup() as tasks:
        serving = live(partial(build, clock=clock), settings, "quota", stop)
        yield Replica(clock, tasks.create_task(serving))
        stop.set()


@pytest.fixture
def quota_settings(nats_server: NatsServer, mongo_url_of: UrlOf, database_name: str) -> SettingsFor:
    """Settings with short waits; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            "nats_url": nats_server.url,
            "nats_user": "quota",
            "nats_password": nats_server.secrets.nats_passwords["quota"],
            "mongo_url": mongo_url_of("quota"),
            "mongo_database": database_name,
            "stop_grace_seconds": 2.0,
        }
        return Settings(**(usual | changes))

    return settings


@pytest.fixture
async def gateway(bus_for: OpenBus) -> Gateway:
    """A gateway."""
    return Gateway(await bus_for("gateway"))


@pytest.fixture
async def scheduler(bus_for: OpenBus) -> Scheduler:
    """A scheduler that has made the streams, empty of what earlier tests told, and hears what the quota says."""
    bus = await bus_for("scheduler")
    await ensure_streams(bus, STREAMS)
    await bus.js_api("STREAM.PURGE.EVENTS")
    scheduler = Scheduler(bus)
    await scheduler.listen()
    return scheduler


@pytest.fixture
async def ledger(bus_for: OpenBus) -> Ledger:
    """A usage service that adds up the endings it is shown."""
    ledger = Ledger()
    await ledger.open(await bus_for("usage"))
    return ledger


@pytest.fixture
async def start_quota(quota_settings: SettingsFor, gateway: Gateway) -> AsyncIterator[StartQuota]:
    """Starts one more replica and waits until it answers."""
    async with Holder() as holder:

        async def start(**changes: Any) -> Replica:
            replica = await holder.open(running(quota_settings(**changes)))
            await gateway.until_answered()
            return replica

        yield start


@pytest.fixture
async def quota(start_quota: StartQuota, scheduler: Scheduler, ledger: Ledger) -> Replica:
    """One running quota service with everybody around it."""
    return await start_quota()
