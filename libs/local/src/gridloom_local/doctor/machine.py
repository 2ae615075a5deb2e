"""The machine by itself: versions, programs, the model, disk space, the gateway's port."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from gridloom_local.doctor.findings import Finding, fail, judge, ok, warn
from gridloom_local.home import Home
from gridloom_local.plan import smollm2_file
from gridloom_local.ports import gateway_port, is_free
from gridloom_local.problems import Problem
from gridloom_local.servers import MissingServerError, mongod_binary, nats_server_binary, rclone_binary

_PACKAGES: Final = ("aiohttp", "nats-py", "msgspec", "motor", "uvloop", "supervisor", "xllamacpp")
_GIBIBYTE: Final = 1024**3
_LEAST_FREE_BYTES: Final = 1 * _GIBIBYTE
_ENOUGH_FREE_BYTES: Final = 5 * _GIBIBYTE
_SETUP: Final = "run `make setup`"


async def machine_findings(home: Home, *, is_running: bool) -> list[Finding]:
    """Return what there is to say about this machine; a running stack holds the gateway's port rightly."""
    programs = await asyncio.gather(
        _program("nats-server", nats_server_binary, "--version"),
        _program("mongod", mongod_binary, "--version"),
        _program("rclone (S3)", rclone_binary, "version"),
    )
    port = [] if is_running else [_gateway_port()]
    return [_python(), *programs, _packages(), _model(), _disk(home), *port]


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    is_good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return judge("python", is_good, found, "use Python 3.11, 3.12 or 3.13")


async def _program(name: str, locate: Callable[[], Path], argument: str) -> Finding:
    try:
        binary = locate()
    except MissingServerError as error:
        return fail(name, str(error), _SETUP)
    process = await asyncio.create_subprocess_exec(
        binary, argument, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    first_line = (output.decode(errors="replace").splitlines() or ["no answer"])[0]
    return judge(name, process.returncode == 0, first_line, f"{_SETUP}: {binary} does not run")


def _packages() -> Finding:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return fail("packages", f"missing: {', '.join(missing)}", _SETUP)
    return ok("packages", ", ".join(found))


def _model() -> Finding:
    try:
        file = smollm2_file()
    except Problem as problem:
        return warn("language model", problem.message, problem.remedy)
    return ok("language model", f"{file.name}, {file.stat().st_size / 1e6:.0f} MB")


def _disk(home: Home) -> Finding:
    folder = next(parent for parent in (home.folder, *home.folder.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    details = f"{free / _GIBIBYTE:.1f} GiB free in {folder}"
    remedy = "free some space, or move the stack with GRIDLOOM_HOME"
    if free < _LEAST_FREE_BYTES:
        return fail("disk space", details, remedy)
    return ok("disk space", details) if free >= _ENOUGH_FREE_BYTES else warn("disk space", details, remedy)


def _gateway_port() -> Finding:
    port = gateway_port(os.environ)
    remedy = "choose another one with GRIDLOOM_PORT"
    return ok("gateway port", f"{port} is free") if is_free(port) else warn("gateway port", f"{port} is taken", remedy)
