"""A whole grid of its own for the benchmark: embedded servers, services, and the workers that are measured."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from gridloom_local.facts import read_facts
from gridloom_local.home import Home

_PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Grid:
    """A running grid and how to reach it."""

    url: str
    api_key: str
    admin_key: str
    nats_url: str
    mongo_url: str
    home: Path

    def call(self, method: str, path: str, body: object = None, *, admin: bool = False) -> object:
        """Return the decoded answer of one HTTP call. Raises urllib's errors for a refusal."""
        key = self.admin_key if admin else self.api_key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = Request(self.url + path, data=data, method=method, headers=headers)
        with urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


def gridloom(*arguments: str, home: Path, port: int) -> str:
    """Run the `gridloom` command of this environment and return what it printed."""
    command = [str(Path(sys.executable).with_name("gridloom")), *arguments]
    ours = {"GRIDLOOM_HOME": str(home), "GRIDLOOM_PORT": str(port), "GRIDLOOM_WEBHOOK_ALLOW_PRIVATE": "true"}
    environ = {**os.environ, **ours}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        raise RuntimeError(f"gridloom {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextmanager
def running_grid(home: Path) -> Iterator[Grid]:
    """Start a grid in `home` and end it afterwards."""
    port = free_port()
    gridloom("up", "--detach", "--engine", "synthetic", home=home, port=port)
    try:
        facts = read_facts(Home(home))
        assert facts
        yield Grid(facts.url, facts.api_key, facts.admin_key, facts.nats_url, facts.mongo_url, home)
    finally:
        gridloom("down", home=home, port=port)


@contextmanager
def child(command: list[str], log: Path, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the time of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(environ or {})})
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def worker(grid: Grid, name: str, *arguments: str) -> Iterator[None]:
    """Enrol and run one more worker."""
    enrolled = grid.call("POST", "/admin/v1/workers", {"name": name}, admin=True)
    assert isinstance(enrolled, dict)
    command = [sys.executable, "-m", "gridloom_worker", "--token", enrolled["token"], "--nats", grid.nats_url]
    spool = ["--spool-dir", str(grid.home / f"spool-{name}")]
    with child([*command, *spool, *arguments], grid.home / "logs" / f"{name}.log"):
        yield


def wait_for_model(grid: Grid, model: str, workers: int = 1) -> None:
    """Return once so many workers serve `model`. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        models = grid.call("GET", "/api/v1/models")
        if isinstance(models, list) and any(
            entry["id"] == model and entry["worker_count"] >= workers for entry in models
        ):
            return
        time.sleep(0.1)
    raise TimeoutError(f"no worker serves {model} after {_PATIENCE_SECONDS} s; see {grid.home}/logs")
