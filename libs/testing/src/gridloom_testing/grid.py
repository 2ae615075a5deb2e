"""A grid for one test or one module: the real services as child processes over real servers of their own.

Which settings a service needs is what the embedded stack says (`gridloom_local.plan`); a test adds those it is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from gridloom_contract.registry import BLOB, GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_local.home import Home
from gridloom_local.plan import MONGO, NATS, PORTS, S3, SYNTHETIC, Plan
from gridloom_local.readiness import says_ready
from gridloom_local.running import Running
from gridloom_local.servers import LOOPBACK, Server, free_port
from gridloom_testing import nursery
from gridloom_testing.clients import ApiClient
from gridloom_testing.servers import Infra, MongoServer, NatsServer, S3Server

_ANSWER_SECONDS = 10.0


class Grid:
    """Starts services and knows how to reach them. `processes` has every one ever started, by name (`worker-1`)."""

    def __init__(self, nats: NatsServer, mongo: MongoServer, database: str, s3: S3Server, folder: Path) -> None:
        self.nats = nats
        self.mongo = mongo
        self.database = database
        self.s3 = s3
        """Not started before the first blob service is."""
        self.processes: dict[str, Running] = {}
        self._folder = folder
        self._numbers = count(1)
        self._started: set[str] = set()
        self._gateway_port = free_port()

    @property
    def url(self) -> str:
        """The base URL of the gateway."""
        return f"http://{LOOPBACK}:{self._gateway_port}"

    @property
    def admin_key(self) -> str:
        """The bearer key of the admin API."""
        return self.nats.secrets.admin_key

    def start(self, service: str, token: str = "", **settings: object) -> Running:
        """Start one more process of a service and return at once. `token` is a worker's; settings go by their names."""
        if service == BLOB and BLOB not in self._started:
            self.s3.start()
        self._started.add(service)
        name = f"{service}-{next(self._numbers)}"
        started = nursery.start(self._server(name, service, token, settings))
        self.processes[name] = started
        return started

    def start_all(self, *further: str, **worker_settings: object) -> None:
        """Start what every job needs, a worker with the synthetic engine, and `further` services.

        Return once the worker serves.
        """
        for service in (SCHEDULER, QUOTA, GATEWAY, *further):
            self.start(service)
        self.wait_until_ready()
        self.start(WORKER, self.enrol(), **worker_settings)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once every process that still runs says it is ready. Raises ServerFailedError with its log's end."""
        for process in self.processes.values():
            if process.is_alive:
                process.wait_until_ready()

    async def until_ready(self) -> None:
        """Do the same without blocking the event loop."""
        await asyncio.to_thread(self.wait_until_ready)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the decoded answer of the admin API. Raises AssertionError if it refuses."""
        connection = HTTPConnection(LOOPBACK, self._gateway_port, timeout=_ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {self.admin_key}", "Content-Type": "application/json"}
        try:
            connection.request(
                method, path, body=msgspec.json.encode(body) if body is not None else None, headers=headers
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {content.decode()}"
        return msgspec.json.decode(content) if content else None

    def enrol(self, **identity: object) -> str:
        """Make a worker identity and return its token."""
        name = f"worker{next(self._numbers)}"
        return str(self.ask("POST", "/admin/v1/workers", {"name": name} | identity)["token"])

    def new_key(self, account_name: str = "test") -> str:
        """Make an account and return an API key of it."""
        account = self.ask("POST", "/admin/v1/accounts", {"name": account_name})
        return str(self.ask("POST", f"/admin/v1/accounts/{account['id']}/keys", {})["key"])

    def client(self, key: str | None = None) -> ApiClient:
        """Return a client of the native API, of a new account unless a key is given. Use it with `async with`."""
        return ApiClient(self.url, key or self.new_key())

    def close(self) -> None:
        """End everything that still runs, at once."""
        for process in self.processes.values():
            process.kill()

    def _server(self, name: str, service: str, token: str, settings: dict[str, object]) -> Server:
        folder = self._folder / name
        internal_port = free_port()
        program = next(each for each in self._plan(folder, token).programs() if each.name == service)
        chosen = self._places(service, folder) | {"internal_port": internal_port} | settings
        overrides = nursery.variables(service, chosen)
        return Server(
            name=name,
            argv=tuple(program.command),
            directory=folder,
            log=folder / "log",
            port=internal_port,
            environment={"HOME": str(folder), "TMPDIR": str(folder), **program.environment, **overrides},
            is_ready=says_ready(internal_port),
        )

    def _plan(self, folder: Path, token: str) -> Plan:
        servers = {NATS: self.nats.port, MONGO: self.mongo.port, S3: self.s3.port}
        ports = dict.fromkeys(PORTS, 0) | servers | {GATEWAY: self._gateway_port}
        return Plan(Home(folder), ports, self.nats.secrets, engine=SYNTHETIC, worker_token=token or "none")

    def _places(self, service: str, folder: Path) -> dict[str, object]:
        if service == WORKER:
            return {"spool_dir": folder / "spool"}
        return {"mongo_url": self.mongo.url_of(service, self.database), "mongo_database": self.database}


@contextmanager
def open_grid(infra: Infra, mongo: MongoServer, folder: Path) -> Iterator[Grid]:
    """Yield a grid with a nats-server and a database of its own, and no service started yet."""
    nats = infra.nats(folder.name)
    nats.start()
    database = mongo.databases.borrow()
    grid = Grid(nats, mongo, database, infra.s3(f"{folder.name}-s3"), folder)
    try:
        yield grid
    finally:
        grid.close()
        nats.kill()
        grid.s3.kill()
        mongo.databases.give_back(database)
