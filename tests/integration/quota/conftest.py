"""The real quota service in this process, on real servers; the test plays gateway, scheduler and usage service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gridloom_contract.registry import QUOTA
from gridloom_contract.streams import STREAMS
from gridloom_kit.clock import SystemClock
from gridloom_kit.streams import ensure_streams
from gridloom_quota.service import build
from gridloom_quota.settings import Settings
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, PlacesOf
from gridloom_testing.replicas import Replica, running
from integration.quota.scripted import Gateway, Ledger, Scheduler

SettingsFor = Callable[..., Settings]
StartQuota = Callable[..., Awaitable["QuotaReplica"]]


class ShiftedClock(SystemClock):
    """The clock of this machine, put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time of day, put forward."""
        return super().now() + self.ahead


@dataclass(frozen=True)
class QuotaReplica:
    """One quota service with a clock of its own."""

    clock: ShiftedClock
    replica: Replica

    async def kill(self) -> None:
        """End it without any of its last steps."""
        await self.replica.kill()


@pytest.fixture
def quota_settings(places_of: PlacesOf) -> SettingsFor:
    """Settings with short waits; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            **places_of(QUOTA),
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

        async def start(**changes: Any) -> QuotaReplica:
            clock = ShiftedClock()
            replica = await holder.open(running(partial(build, clock=clock), quota_settings(**changes), QUOTA))
            await gateway.until_answered()
            return QuotaReplica(clock, replica)

        yield start


@pytest.fixture
async def quota(start_quota: StartQuota, scheduler: Scheduler, ledger: Ledger) -> QuotaReplica:
    """One running quota service with everybody around it."""
    return await start_quota()
