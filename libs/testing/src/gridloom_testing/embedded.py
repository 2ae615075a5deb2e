"""The servers of a test process as child processes, each in a folder of its own under one temporary folder."""

from __future__ import annotations

from pathlib import Path

from gridloom_local import nats_config, servers
from gridloom_local.nats_config import NatsSettings
from gridloom_local.secrets import Secrets
from gridloom_testing.machines import ChildMachine
from gridloom_testing.servers import MongoServer, NatsServer, S3Server


class Embedded:
    """Makes servers from the programs in this environment. What is made is not started yet."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder = folder
        self._secrets = secrets

    def nats(self, name: str) -> NatsServer:
        """A nats-server with an empty store."""
        folder = self._folder / name
        port, monitoring_port = servers.free_port(), servers.free_port()
        settings = NatsSettings(port=port, store=folder / "store", monitoring_port=monitoring_port)
        config = nats_config.render(settings, self._secrets.nats_passwords, self._secrets.callout_issuer)
        machine = ChildMachine(servers.nats_server(folder, config), data=folder / "store")
        return NatsServer(machine, port, monitoring_port, self._secrets)

    def mongo(self, name: str) -> MongoServer:
        """A mongod with an empty database, journaled as in production."""
        folder, port = self._folder / name, servers.free_port()
        server = servers.mongo_server(folder, port, self._secrets.mongo_keyfile)
        return MongoServer(ChildMachine(server, data=folder / "data"), port, self._secrets)

    def s3(self, name: str) -> S3Server:
        """An S3 server with one empty bucket."""
        folder, port = self._folder / name, servers.free_port()
        access_key, secret_key = self._secrets.s3_access_key, self._secrets.s3_secret_key
        machine = ChildMachine(servers.s3_server(folder, port, access_key, secret_key), data=folder / "buckets")
        return S3Server(machine, port, servers.BUCKET, self._secrets)
