"""The real servers of one test process as a test holds them: addresses, passwords, and ways to break them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import aiohttp
from pymongo import MongoClient

from gridloom_kit.settings import ServiceSettings
from gridloom_local import mongo_setup
from gridloom_local.secrets import Secrets
from gridloom_local.servers import LOOPBACK
from gridloom_testing.databases import Databases
from gridloom_testing.machines import Machine


class Breakable:
    """A server that a test may kill, freeze and restart."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start(self) -> None:
        """Start it after `kill`; it serves what it had stored."""
        self._machine.start()

    def kill(self) -> None:
        """End it at once (kill -9)."""
        self._machine.kill()

    def restart(self) -> None:
        """Crash it and start it again."""
        self.kill()
        self.start()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Freeze it: connections stay open, nothing is answered."""
        self._machine.suspend()
        try:
            yield
        finally:
            self._machine.resume()


class NatsServer(Breakable):
    """nats-server with accounts, passwords and the auth callout as in production. `secrets` has the passwords."""

    def __init__(self, machine: Machine, port: int, monitoring_port: int, secrets: Secrets) -> None:
        super().__init__(machine)
        self.port = port
        self.url = f"nats://{LOOPBACK}:{port}"
        self.monitoring_url = f"http://{LOOPBACK}:{monitoring_port}"
        self.secrets = secrets

    def wipe_store(self) -> None:
        """Crash it, delete the whole JetStream store, and start it again: no stream, consumer or message is left."""
        self.kill()
        self._machine.erase()
        self.start()

    def settings_of(self, user: str) -> ServiceSettings:
        """Return the settings with which a static user connects."""
        return ServiceSettings(nats_url=self.url, nats_user=user, nats_password=self.secrets.nats_passwords[user])

    def login_of(self, user: str) -> dict[str, Any]:
        """Return the same for `nats.connect(url, **…)`."""
        return {"user": user, "password": self.secrets.nats_passwords[user]}

    async def monitor(self, page: str) -> Any:
        """Return a monitoring page (`varz`, `jsz`, `connz`) decoded."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.monitoring_url}/{page}") as answer:
            return await answer.json()


class MongoServer(Breakable):
    """mongod as a one-node replica set with authentication on. `admin` is a client that may do everything.

    `databases` lends databases in which every service has its user.
    """

    def __init__(self, machine: Machine, port: int, secrets: Secrets) -> None:
        super().__init__(machine)
        self.port = port
        self.secrets = secrets
        self.admin: MongoClient[dict[str, Any]] = MongoClient(self.url_of(mongo_setup.ADMIN, "admin"), tz_aware=True)
        self.databases = Databases(self.admin, secrets.mongo_passwords)

    def start(self) -> None:
        """Start it and wait until it takes writes."""
        super().start()
        mongo_setup.initiate(self.port, self.secrets.mongo_passwords)

    def close(self) -> None:
        """End it for good, with its admin client."""
        self.admin.close()
        self.kill()

    def url_of(self, user: str, database: str) -> str:
        """Return the URL with which `user` (a service, or `admin`) reaches `database`."""
        return mongo_setup.mongo_url(self.port, user, self.secrets.mongo_passwords[user], database)


class S3Server(Breakable):
    """An S3 server with one bucket and one pair of keys."""

    def __init__(self, machine: Machine, port: int, bucket: str, secrets: Secrets) -> None:
        super().__init__(machine)
        self.port = port
        self.endpoint_url = f"http://{LOOPBACK}:{port}"
        self.bucket = bucket
        self.access_key = secrets.s3_access_key
        self.secret_key = secrets.s3_secret_key


class Infra(Protocol):
    """Makes servers. What is made is not started yet; `name` is new for each."""

    def nats(self, name: str) -> NatsServer:
        """A nats-server with an empty store."""

    def mongo(self, name: str) -> MongoServer:
        """A mongod with an empty database, journaled as in production."""

    def s3(self, name: str) -> S3Server:
        """An S3 server with one empty bucket."""
