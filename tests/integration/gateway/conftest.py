"""The gateway as it runs, in this process, on real NATS and MongoDB, with a scripted scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gridloom_contract.registry import GATEWAY
from gridloom_gateway.service import build
from gridloom_gateway.settings import Settings
from gridloom_kit.run import Build, live
from gridloom_local.servers import free_port
from gridloom_testing.clients import Answer, ApiClient
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, PlacesOf
from gridloom_testing.servers import NatsServer
from integration.gateway.scripted import ScriptedScheduler

_READY_SECONDS = 20.0

OpenGateway = Callable[..., Awaitable["RunningGateway"]]


@dataclass(frozen=True)
class Tenant:
    """An account with a key."""

    account: str
    kid: str
    key: str


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that serves."""

    url: str
    settings: Settings
    admin: ApiClient
    stop: asyncio.Event

    async def tenant(self, **wish: Any) -> Tenant:
        """Open an account and give it a key."""
        account = (await self.ask("POST", "/admin/v1/accounts", {"name": "test"})).body["id"]
        issued = (await self.ask("POST", f"/admin/v1/accounts/{account}/keys", wish)).body
        return Tenant(account, issued["kid"], issued["key"])

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Return the admin API's answer. Raises AssertionError if it refuses."""
        answer = await self.admin.call(method, path, body)
        assert answer.status < 400, f"{method} {path}: {answer.status} {answer.body}"
        return answer


@pytest.fixture
async def scheduler(bus_for: OpenBus) -> ScriptedScheduler:
    """A scheduler that has arrived."""
    scheduler = ScriptedScheduler(await bus_for("scheduler"))
    await scheduler.arrive()
    return scheduler


@pytest.fixture
async def open_gateway(places_of: PlacesOf, nats_server: NatsServer) -> AsyncIterator[OpenGateway]:
    """Starts a gateway with further settings, built otherwise if told so; it is stopped after the test."""
    async with Holder() as holder:

        async def start(building: Build[Settings] = build, **changes: Any) -> RunningGateway:
            usual: dict[str, Any] = {
                **places_of(GATEWAY),
                "port": free_port(),
                "admin_key": nats_server.secrets.admin_key,
                "api_key_pepper": nats_server.secrets.api_key_pepper,
                "webhook_master_key": nats_server.secrets.webhook_master_key,
                "stop_grace_seconds": 4.0,
            }
            return await holder.open(_serving(building, Settings(**(usual | changes))))

        yield start


@pytest.fixture
async def gateway(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> RunningGateway:
    """A gateway with the usual settings, and a scheduler behind it."""
    return await open_gateway()


@pytest.fixture
async def tenant(gateway: RunningGateway) -> Tenant:
    """An account with a key."""
    return await gateway.tenant()


@pytest.fixture
async def client(gateway: RunningGateway, tenant: Tenant) -> AsyncIterator[ApiClient]:
    """A client of that account."""
    async with ApiClient(gateway.url, tenant.key) as client:
        yield client


@asynccontextmanager
async def _serving(building: Build[Settings], settings: Settings) -> AsyncIterator[RunningGateway]:
    stop, url = asyncio.Event(), f"http://{settings.host}:{settings.port}"
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(live(building, settings, GATEWAY, stop))
        try:
            async with ApiClient(url, settings.admin_key) as admin:
                await _until_it_serves(admin, running)
                yield RunningGateway(url, settings, admin, stop)
        finally:
            stop.set()


async def _until_it_serves(admin: ApiClient, running: asyncio.Task[None]) -> None:
    async with asyncio.timeout(_READY_SECONDS):
        while not running.done():
            try:
                if (await admin.call("GET", "/openapi.json")).status == 200:
                    return
            except OSError:
                await asyncio.sleep(0.02)
