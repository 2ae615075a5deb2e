"""The real blob service in this process, on real servers, with a scripted scheduler and quota around it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from gridloom_blob.service import Core, build, open_core
from gridloom_blob.settings import Settings
from gridloom_contract.registry import BLOB, GATEWAY, QUOTA, SCHEDULER
from gridloom_kit.objects import open_objects
from gridloom_testing.holding import Holder
from gridloom_testing.plugin import OpenBus, PlacesOf
from gridloom_testing.replicas import Replica, running
from gridloom_testing.servers import Infra, S3Server
from integration.blob.scripted import Asker, ScriptedQuota, ScriptedScheduler

SettingsFor = Callable[..., Settings]
StartBlob = Callable[..., Awaitable[Replica]]


@pytest.fixture(scope="module")
def s3_of_module(infra: Infra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server of this module alone: it may be broken."""
    server = infra.s3(tmp_path_factory.mktemp("s3").name)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def own_s3(s3_of_module: S3Server) -> AsyncIterator[S3Server]:
    """The same with a bucket of this test alone, whose keys can be counted. It runs again afterwards."""
    server = s3_of_module
    server.bucket = f"test-{secrets.token_hex(6)}"
    async with open_objects(server.endpoint_url, server.access_key, server.secret_key) as objects:
        await objects.create_bucket(Bucket=server.bucket)
    yield server
    server.start()


@pytest.fixture
def blob_settings(places_of: PlacesOf, own_s3: S3Server) -> SettingsFor:
    """Settings of a blob service that sweeps only when it is told to; a test changes what it is about."""

    def settings(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            **places_of(BLOB),
            "s3_endpoint_url": own_s3.endpoint_url,
            "s3_access_key": own_s3.access_key,
            "s3_secret_key": own_s3.secret_key,
            "s3_bucket": own_s3.bucket,
            "s3_timeout_seconds": 2.0,
            "stop_grace_seconds": 2.0,
        }
        return Settings(**(usual | changes))

    return settings


@pytest.fixture
async def scheduler(bus_for: OpenBus) -> ScriptedScheduler:
    """A scheduler with no jobs yet."""
    scripted = ScriptedScheduler(await bus_for(SCHEDULER))
    await scripted.open()
    return scripted


@pytest.fixture
async def quota(bus_for: OpenBus) -> ScriptedQuota:
    """A quota service where every account is on the default plan."""
    scripted = ScriptedQuota(await bus_for(QUOTA))
    await scripted.open()
    return scripted


@pytest.fixture
async def asker(bus_for: OpenBus) -> AsyncIterator[Asker]:
    """Somebody who asks, uploads and downloads."""
    async with aiohttp.ClientSession() as http:
        yield Asker(await bus_for(GATEWAY), http)


@pytest.fixture
async def start_blob(
    blob_settings: SettingsFor, scheduler: ScriptedScheduler, quota: ScriptedQuota, asker: Asker
) -> AsyncIterator[StartBlob]:
    """Starts one more replica and returns once a replica answers."""
    async with Holder() as holder:

        async def start(**changes: Any) -> Replica:
            replica = await holder.open(running(build, blob_settings(**changes), BLOB))
            await asker.until_answered()
            return replica

        yield start


@pytest.fixture
async def blob(start_blob: StartBlob) -> Replica:
    """One running service."""
    return await start_blob()


@pytest.fixture
async def core(blob_settings: SettingsFor, scheduler: ScriptedScheduler, quota: ScriptedQuota) -> AsyncIterator[Core]:
    """The insides of one more service, to sweep at any time of day."""
    async with Holder() as holder:
        yield await holder.open(open_core(blob_settings()))
