"""The real webhook service in this process, on real servers, with a scripted scheduler and gateway around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gridloom_contract.registry import GATEWAY, SCHEDULER, WEBHOOK
from gridloom_kit.mongo import Database
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, PlacesOf
from gridloom_testing.replicas import Replica, running
from gridloom_testing.servers import NatsServer
from gridloom_webhook.service import build
from gridloom_webhook.settings import Settings
from integration.webhook.receivers import Receiver, listening
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler
from unit.webhook.facts import MASTER_KEY

SettingsFor = Callable[..., Settings]
StartWebhook = Callable[..., Awaitable[Replica]]


@pytest.fixture
def webhook_settings(places_of: PlacesOf) -> SettingsFor:
    """Settings of a service in a hurry; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            **places_of(WEBHOOK),
            "master_key": MASTER_KEY,
            "allow_private": True,
            "schedule_seconds": (0, 0.1, 0.1),
            "connect_seconds": 1.0,
            "total_seconds": 1.0,
            "progress_total_seconds": 0.5,
            "lease_seconds": 3.0,
            "sweep_seconds": 0.3,
            "breaker_seconds": 0.1,
            "breaker_most_seconds": 0.2,
            "stop_grace_seconds": 3.0,
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
async def gateway(scheduler: ScriptedScheduler, bus_for: OpenBus) -> ScriptedGateway:
    """A gateway that renders jobs."""
    scripted = ScriptedGateway(await bus_for(GATEWAY))
    await scripted.open()
    return scripted


@pytest.fixture
async def start_webhook(webhook_settings: SettingsFor, gateway: ScriptedGateway) -> AsyncIterator[StartWebhook]:
    """Starts one more replica and returns once a replica answers."""
    async with Holder() as holder:

        async def start(**changes: Any) -> Replica:
            replica = await holder.open(running(build, webhook_settings(**changes), WEBHOOK))
            await gateway.until_answered()
            return replica

        yield start


@pytest.fixture
async def webhook(start_webhook: StartWebhook) -> Replica:
    """One running service."""
    return await start_webhook()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything, unless a test gives it other behaviours."""
    async with listening() as listening_receiver:
        yield listening_receiver


@dataclass(frozen=True)
class Scene:
    """All that surrounds the service."""

    scheduler: ScriptedScheduler
    gateway: ScriptedGateway
    receiver: Receiver
    database: Database
    start_webhook: StartWebhook


@pytest.fixture
async def scene(
    scheduler: ScriptedScheduler,
    gateway: ScriptedGateway,
    receiver: Receiver,
    database: Database,
    start_webhook: StartWebhook,
) -> Scene:
    """A scene on which nothing has started yet."""
    return Scene(scheduler, gateway, receiver, database, start_webhook)
