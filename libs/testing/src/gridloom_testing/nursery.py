"""Services as child processes that begin where their imports end.

A Python service spends most of its start on importing the same libraries, 0.4 s of a processor, and a suite starts
hundreds. So one process of each test process imports them once and forks for every service. A child has the
environment, folder and log its `Server` says, runs the module its command line names as `__main__`, and ends as it
would by itself. What a command line does before that, tests of the stack see: they start `gridloom up`.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import set_forkserver_preload
from pathlib import Path
from typing import Final

from gridloom_kit.settings import environment_name
from gridloom_local.running import Running, end_with_parent
from gridloom_local.servers import Server

_PYTHON_MODULE: Final = (sys.executable, "-m")
_POLL_SECONDS: Final = 0.01
_MOST_FILES: Final = 1024
_LIBRARIES: Final = (
    *("gridloom_contract.registry", "gridloom_domain.job"),
    *(f"gridloom_kit.{name}" for name in ("run", "service", "mongo", "objects", "publishing", "streams")),
)
"""What every service imports. No module of a service is among it: each runs its own from the first line to the last."""


class _Child:
    """A forked process, as `Running` knows one."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


def start(server: Server) -> Running:
    """Start the service that `server` runs with `python -m`; its output is appended to its log."""
    if server.argv[:2] != _PYTHON_MODULE:
        raise ValueError(f"no module of Python: {' '.join(server.argv)}")
    server.directory.mkdir(parents=True, exist_ok=True)
    process = _warm_context().Process(
        target=_become,
        args=(server.argv[2:], dict(server.environment), server.directory, server.log),
        name=server.name,
        daemon=True,
    )
    process.start()
    return Running(server, _Child(process))


def variables(service: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Return the environment that tells a service its settings."""
    return {environment_name(service, field): _text(value) for field, value in settings.items()}


async def ended(child: Running) -> int:
    """Return how a process ended once it has: its exit code, or a signal as a negative number."""
    while (code := child.returncode) is None:  # noqa: ASYNC110 - a process tells no event loop
        await asyncio.sleep(_POLL_SECONDS)
    return code


def _warm_context() -> ForkServerContext:
    set_forkserver_preload([*_LIBRARIES, __name__])
    return multiprocessing.get_context("forkserver")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _become(arguments: tuple[str, ...], environment: Mapping[str, str], directory: Path, log: Path) -> None:
    """Be the service from now on."""
    end_with_parent()
    os.closerange(3, _MOST_FILES)  # the nursery ends with the test, unless a child holds its line to the test open
    gc.freeze()  # what was imported stays for ever: nothing need look at it again, and copy the memory it lies in
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
