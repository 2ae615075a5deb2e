"""The same servers as containers (`GRIDLOOM_TEST_INFRA=containers`), for machines with Docker.

Images are the versions that production runs; everything else (configuration, passwords, ports on loopback) is the same
as embedded, so a test cannot tell the two apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from testcontainers.core.container import DockerContainer

from gridloom_local import nats_config, servers
from gridloom_local.nats_config import NatsSettings
from gridloom_local.readiness import probe
from gridloom_local.secrets import MONGO_ADMIN, Secrets
from gridloom_local.servers import BUCKET, LOOPBACK, REPLICA_SET
from gridloom_testing.servers import MongoServer, NatsServer, S3Server

NATS_IMAGE = "nats:2.15-alpine"
MONGO_IMAGE = "mongo:8.0"
S3_IMAGE = "rclone/rclone:1.75"

_ANYWHERE = "0.0.0.0"
_READY_SECONDS = 60.0


class ContainerMachine:
    """One server in a container. Its store lies inside, so erasing it is a new container."""

    def __init__(
        self, image: str, ports: tuple[int, ...], command: list[str], is_ready: Callable[[], bool], **options: Any
    ) -> None:
        self._image = image
        self._ports = ports
        self._command = command
        self._is_ready = is_ready
        self._options = options
        self._container: DockerContainer | None = None

    def start(self) -> None:
        """Start the container, or the killed one again."""
        if self._container is None:
            self._container = self._new().start()
        else:
            self._container.get_wrapped_container().start()
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._image} is not ready: {self._container.get_logs()!r}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Docker kill -9; harmless if it does not run."""
        wrapped = self._wrapped()
        if wrapped is not None:
            wrapped.reload()
            if wrapped.status == "running":
                wrapped.kill()
                wrapped.wait()

    def suspend(self) -> None:
        """Docker pause."""
        self._wrapped().pause()

    def resume(self) -> None:
        """Docker unpause."""
        self._wrapped().unpause()

    def erase(self) -> None:
        """Remove the container with all it has stored."""
        if self._container is not None:
            self._container.stop()
            self._container = None

    def _new(self) -> DockerContainer:
        container = DockerContainer(self._image, **self._options).with_command(self._command)
        for port in self._ports:
            container.ports[f"{port}/tcp"] = (LOOPBACK, port)  # type: ignore[assignment] # docker takes an address too
        return container

    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container() if self._container else None


class Containers:
    """Makes servers as containers. What is made is not started yet."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder = folder
        self._secrets = secrets

    def nats(self, name: str) -> NatsServer:
        """A nats-server with an empty store."""
        port, monitoring_port = servers.free_port(), servers.free_port()
        settings = NatsSettings(port=port, store=Path("/data"), monitoring_port=monitoring_port, host=_ANYWHERE)
        config = nats_config.render(settings, self._secrets.nats_passwords, self._secrets.callout_issuer)
        file = self._folder / f"{name}.json"
        file.write_bytes(msgspec.json.encode(config))
        machine = ContainerMachine(
            NATS_IMAGE,
            (port, monitoring_port),
            ["nats-server", "--config", "/etc/nats.json"],
            lambda: servers.greets(port),
            volumes=[(str(file), "/etc/nats.json", "ro")],
        )
        return NatsServer(machine, port, monitoring_port, self._secrets)

    def mongo(self, name: str) -> MongoServer:  # noqa: ARG002 - its store lies in the container
        """A mongod with an empty database. It listens on the same port inside and out: the set knows itself by it."""
        port = servers.free_port()
        script = (
            f"umask 077 && echo '{self._secrets.mongo_keyfile}' >/tmp/keyfile && chown mongodb /tmp/keyfile && "
            f"exec docker-entrypoint.sh mongod --port {port} --bind_ip_all "
            f"--replSet {REPLICA_SET} --keyFile /tmp/keyfile --slowms {servers.MONGO_SLOW_MS}"
        )
        environment = {
            "MONGO_INITDB_ROOT_USERNAME": MONGO_ADMIN,
            "MONGO_INITDB_ROOT_PASSWORD": self._secrets.mongo_passwords[MONGO_ADMIN],
        }
        machine = ContainerMachine(
            MONGO_IMAGE, (port,), ["bash", "-c", script], lambda: servers.accepts(port), env=environment
        )
        return MongoServer(machine, port, self._secrets)

    def s3(self, name: str) -> S3Server:
        """An S3 server with one empty bucket."""
        port = servers.free_port()
        access_key, secret_key = self._secrets.s3_access_key, self._secrets.s3_secret_key
        buckets = self._folder / name
        (buckets / BUCKET).mkdir(parents=True)
        machine = ContainerMachine(
            S3_IMAGE,
            (port,),
            ["serve", "s3", "--addr", f"{_ANYWHERE}:{port}", "--auth-key", f"{access_key},{secret_key}", "/buckets"],
            lambda: probe(port, "/")[0] != 0,
            volumes=[(str(buckets), "/buckets", "rw")],
        )
        return S3Server(machine, port, BUCKET, self._secrets)
