"""The pytest fixtures: real servers, connections to them, and databases that only one test sees.

A program that is not installed skips the test on a laptop and fails it where `CI` is set.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gridloom_contract.permissions import worker_inbox
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.mongo import Database, open_database
from gridloom_kit.settings import ServiceSettings
from gridloom_local.secrets import Secrets
from gridloom_local.servers import MissingServerError, take_ports_from_share
from gridloom_testing.admission import admitting, worker_of
from gridloom_testing.embedded import Embedded
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.holding import Holder
from gridloom_testing.servers import Infra, MongoServer, NatsServer, S3Server

OpenBus = Callable[[str], Awaitable[Bus]]
UrlOf = Callable[[str], str]
PlacesOf = Callable[[str], dict[str, Any]]


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of a parallel run ports of its own."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        count = worker["workercount"]
        take_ports_from_share(int(worker["workerid"].removeprefix("gw")) % count, count)


@pytest.fixture(scope="session")
def secrets() -> Secrets:
    """Passwords and keys of this test process's servers."""
    return Secrets()


@pytest.fixture(scope="session")
def infra(secrets: Secrets) -> Iterator[Infra]:
    """Where servers come from: programs of this environment, or containers with GRIDLOOM_TEST_INFRA=containers."""
    with tempfile.TemporaryDirectory(prefix="gridloom-", ignore_cleanup_errors=True) as folder:
        if os.environ.get("GRIDLOOM_TEST_INFRA") == "containers":
            from gridloom_testing.containers import Containers  # noqa: PLC0415 - only there is Docker needed

            yield Containers(Path(folder), secrets)
        else:
            yield Embedded(Path(folder), secrets)


@pytest.fixture(scope="module")
def nats_server(infra: Infra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server with accounts, passwords and auth callout, its store empty at the start of each module."""
    with _or_skip():
        server = infra.nats(tmp_path_factory.mktemp("nats").name)
        server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mongo_server(infra: Infra) -> Iterator[MongoServer]:
    """One journaled mongod for this test process; every test uses a database of its own."""
    with _or_skip():
        server = infra.mongo("mongo")
        server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def s3(infra: Infra) -> Iterator[S3Server]:
    """One S3 server with one bucket for this test process."""
    with _or_skip():
        server = infra.s3("s3")
        server.start()
    yield server
    server.kill()


@pytest.fixture
def database_name(mongo_server: MongoServer) -> Iterator[str]:
    """The name of an empty database that nobody else uses meanwhile, in which every service has its user."""
    name = mongo_server.databases.borrow()
    yield name
    mongo_server.databases.give_back(name)


@pytest.fixture
def mongo_url_of(mongo_server: MongoServer, database_name: str) -> UrlOf:
    """Return the URL with which a service reaches the test's database, with that service's rights only."""
    return lambda service: mongo_server.url_of(service, database_name)


@pytest.fixture
def places_of(nats_server: NatsServer, mongo_url_of: UrlOf, database_name: str) -> PlacesOf:
    """Return the settings that tell a service where its servers are."""

    def places(service: str) -> dict[str, Any]:
        return {
            "nats_url": nats_server.url,
            "nats_user": service,
            "nats_password": nats_server.secrets.nats_passwords[service],
            "mongo_url": mongo_url_of(service),
            "mongo_database": database_name,
        }

    return places


@pytest.fixture
def mongo_url(mongo_server: MongoServer, database_name: str) -> str:
    """The URL of the test's database with all rights."""
    return mongo_server.url_of("admin", database_name)


@pytest.fixture
async def database(mongo_url: str, database_name: str) -> AsyncIterator[Database]:
    """The test's database, opened with all rights as the services open it."""
    async with open_database(mongo_url, database_name) as opened:
        yield opened


@pytest.fixture
async def bus_for(nats_server: NatsServer) -> AsyncIterator[OpenBus]:
    """Connects as the service of a given name, with that service's rights."""
    async with Holder() as holder:

        async def connect(service: str) -> Bus:
            return await holder.open(open_bus(nats_server.settings_of(service), service))

        yield connect


@pytest.fixture
async def worker_bus(nats_server: NatsServer) -> AsyncIterator[OpenBus]:
    """Connects as the worker of a token. Somebody must answer the callout: a scheduler, or the fixture `admission`."""
    async with Holder() as holder:

        async def connect(token: str) -> Bus:
            inbox = worker_inbox(worker_of(token))
            settings = ServiceSettings(nats_url=nats_server.url)
            return await holder.open(open_bus(settings, "worker", inbox_prefix=inbox, token=token))

        yield connect


@pytest.fixture
async def admission(nats_server: NatsServer) -> AsyncIterator[None]:
    """Admit workers in the scheduler's place (see `admission.admitting`)."""
    async with Holder() as holder:
        await holder.open(admitting(nats_server))
        yield


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with scheduler, gateway and one worker (synthetic engine), shared by the tests of a module."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("grid")) as opened:
        opened.start_all()
        yield opened


@pytest.fixture
def own_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid for one test alone, with nothing started yet."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("grid")) as opened:
        yield opened


@contextmanager
def _or_skip() -> Iterator[None]:
    """A missing program skips the test, or fails it where it must not be missing."""
    try:
        yield
    except MissingServerError as missing:
        if os.environ.get("CI", "false").lower() in {"", "0", "false"}:
            pytest.skip(str(missing))
        raise
