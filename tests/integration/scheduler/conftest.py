"""The real scheduler in this process, on real servers, with scripted workers and a scripted gateway around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from gridloom_contract.registry import SCHEDULER
from gridloom_contract.streams import STREAMS
from gridloom_kit.jetstream import JetStreamApiError
from gridloom_local.nats_config import CALLOUT_USER, SYSTEM_USER
from gridloom_scheduler.service import build
from gridloom_scheduler.settings import Settings
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, PlacesOf
from gridloom_testing.replicas import Replica, running
from gridloom_testing.servers import NatsServer
from integration.scheduler.scripted import Gateway, ScriptedWorker
from integration.scheduler.scripted_quota import ScriptedQuota

SettingsFor = Callable[..., Settings]
StartScheduler = Callable[..., Awaitable[Replica]]
StartWorker = Callable[..., Awaitable[ScriptedWorker]]


@pytest.fixture
def scheduler_settings(places_of: PlacesOf, nats_server: NatsServer) -> SettingsFor:
    """Settings of a scheduler with short waits; a test changes what it is about."""
    secrets = nats_server.secrets

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            **places_of(SCHEDULER),
            "callout_user": CALLOUT_USER,
            "callout_password": secrets.nats_passwords[CALLOUT_USER],
            "callout_seed": secrets.callout_seed,
            "system_user": SYSTEM_USER,
            "system_password": secrets.nats_passwords[SYSTEM_USER],
            "lease_seconds": 2.0,
            "stop_grace_seconds": 2.0,
        }
        return Settings(**(usual | changes))

    return settings


@pytest.fixture
async def start_scheduler(scheduler_settings: SettingsFor) -> AsyncIterator[StartScheduler]:
    """Starts one more replica."""
    async with Holder() as holder:

        async def start(**changes: Any) -> Replica:
            return await holder.open(running(build, scheduler_settings(**changes), SCHEDULER))

        yield start


@pytest.fixture
async def empty_streams(bus_for: OpenBus) -> None:
    """Nothing of an earlier test is left in any stream: the checker compares streams with this test's database."""
    admin = await bus_for("admin")
    for stream in STREAMS:
        with suppress(JetStreamApiError):
            await admin.js_api(f"STREAM.PURGE.{stream.name}")


@pytest.fixture
async def quota(bus_for: OpenBus) -> ScriptedQuota:
    """A quota service to which nobody has a limit unless the test says so."""
    quota = ScriptedQuota(await bus_for("quota"))
    await quota.open()
    return quota


@pytest.fixture
async def gateway(bus_for: OpenBus, quota: ScriptedQuota) -> Gateway:
    """A gateway that is there before any scheduler."""
    return Gateway(await bus_for("gateway"))


@pytest.fixture
async def scheduler(start_scheduler: StartScheduler, gateway: Gateway) -> Replica:
    """One running scheduler."""
    replica = await start_scheduler()
    await gateway.until_answered()
    return replica


@pytest.fixture
async def start_worker(gateway: Gateway, worker_bus: OpenBus) -> AsyncIterator[StartWorker]:
    """Enrols and starts a scripted worker; `identity` goes to the enrolment, the rest to the worker."""
    workers: list[ScriptedWorker] = []

    async def start(identity: dict[str, Any] | None = None, **behaviour: Any) -> ScriptedWorker:
        enrolled = await gateway.enrol(**(identity or {}))
        worker = ScriptedWorker(await worker_bus(enrolled.token), enrolled.worker, **behaviour)
        workers.append(worker)
        await worker.arrive()
        return worker

    yield start
    for worker in workers:
        await worker.leave()
