"""The real usage service in this process, on real servers, with a scripted scheduler and somebody who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, USAGE
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, PlacesOf
from gridloom_testing.replicas import Replica, running
from gridloom_testing.servers import NatsServer
from gridloom_usage.service import build
from gridloom_usage.settings import Settings
from integration.usage.scripted import Asker, ScriptedScheduler

SettingsFor = Callable[..., Settings]
StartUsage = Callable[..., Awaitable[Replica]]


@pytest.fixture
def usage_settings(places_of: PlacesOf) -> SettingsFor:
    """Settings of a usage service that waits for nothing; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            **places_of(USAGE),
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
            return await holder.open(running(build, usage_settings(**changes), USAGE))

        yield start
