"""The real webhook service in this process, on real servers, with a scripted scheduler and gateway around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gridloom_contract.registry import GATEWAY, SCHEDULER, WEBHOOK
from gridloom_kit.run import live
from gridloom_testing.plugin import OpenBus, UrlOf
from gridloom_testing.servers import NatsServer
from gridloom_webhook.service import build
from gridloom_webhook.settings import Settings
from integration.webhook.receivers import Receiver, listening
from integration.webhook.scripted import ScriptedGateway, ScriptedScheduler
from unit.webhook.facts import MASTER_KEY

SettingsFor = Callable[..., Settings]
StartWebhook = Callable[..., Awaitable["Replica"]]


class Replica:
    """One webhook service: `stop` ends it in order, `kill` at once."""

    def __init__(self, settings: Settings) -> None:
        self._stop = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(live(build, settings, WEBHOOK, self._stop))

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self._stop.set()
        await self._task

    async def kill(self) -> None:
        """End it without any of its last steps."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def webhook_settings(nats_server: NatsServer, mongo_url_of: UrlOf, database_name: str) -> SettingsFor:
    """Settings of a service in a hurry; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            "nats_url": nats_server.url,
            "nats_user": WEBHOOK,
            "nats_password": nats_server.secrets.nats_passwords[WEBHOOK],
            "mongo_url": mongo_url_of(WEBHOOK),
            "mongo_database": database_name,
            "master_key": MASTER_KEY,
            "allow_private": True,
            "schedule_seconds": (0, 0.1, 0.1),
            "connect_seconds": 1.0,
            "total_seconds": 1.0,
            "progress_total_seconds": 0.5,
            "lease_seconds": 7.0,
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
    replicas: list[Replica] = []

    async def start(**changes: Any) -> Replica:
        replica = Replica(webhook_settings(**changes))
        replicas.append(replica)
        await gateway.until_answered()
        return replica

    yield start
    for replica in replicas:
        await replica.kill()


@pytest.fixture
async def webhook(start_webhook: StartWebhook) -> Replica:
    """One running service."""
    return await start_webhook()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything, unless a test gives it other behaviours."""
    async with listening() as listening_receiver:
        yield listening_receiver
