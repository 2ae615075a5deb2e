"""What a server under test runs on: a child process of the test, or a container. The fixtures do not see which."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from gridloom_local import running
from gridloom_local.servers import Server


class Machine(Protocol):
    """One server, started and ended at will. Everything returns once it has happened."""

    def start(self) -> None:
        """Start the server and wait until it accepts clients."""

    def kill(self) -> None:
        """End it at once, as kill -9 does."""

    def suspend(self) -> None:
        """Freeze it: its connections stay open and nobody answers."""

    def resume(self) -> None:
        """Let it go on after `suspend`."""

    def erase(self) -> None:
        """Remove everything it has stored. It must have been killed."""


class ChildMachine:
    """The server as a child process; `data` is the folder it stores in."""

    def __init__(self, server: Server, data: Path) -> None:
        self._server = server
        self._data = data
        self._running: running.Running | None = None

    def start(self) -> None:
        """Start the server unless it runs already."""
        if self._running is None or not self._running.is_alive:
            self._running = running.start(self._server)
        self._running.wait_until_ready()

    def kill(self) -> None:
        """Harmless if it does not run."""
        if self._running:
            self._running.kill()

    def suspend(self) -> None:
        """SIGSTOP."""
        if self._running:
            self._running.suspend()

    def resume(self) -> None:
        """SIGCONT."""
        if self._running:
            self._running.resume()

    def erase(self) -> None:
        """Remove the folder it stores in."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(parents=True, exist_ok=True)
