"""A server as a child process of this one: started, waited for, suspended, stopped or killed."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from gridloom_local.servers import Server

_PROBE_PAUSE_SECONDS: Final = 0.02
_STOP_PAUSE_SECONDS: Final = 0.001
_STANDING: Final = "TtZX"
"""States of a thread in Linux: stopped, traced, ended."""
_TAIL_CHARACTERS: Final = 6000
_KILLED_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)


class ServerFailedError(RuntimeError):
    """A server ended before it was ready, or was not ready in time; the message ends with the tail of its log."""


class Process(Protocol):
    """A child process: a `subprocess.Popen`, or what was forked for a test."""

    pid: int

    def poll(self) -> int | None:
        """Return how it ended: its exit code, or a signal as a negative number; None if it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended once it has. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal if it still runs."""


class Running:
    """A server that was started. It ends with this process at the latest (Linux), however this process ends."""

    def __init__(self, server: Server, process: Process) -> None:
        self.server = server
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs (a suspended one does)."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended: its exit code, a signal as a negative number, None if it runs."""
        return self._process.poll()

    def wait_until_ready(self, within_seconds: float = 20.0) -> None:
        """Return once the server accepts clients. Raises ServerFailedError with the tail of its log."""
        deadline = time.monotonic() + within_seconds
        while not self.server.is_ready():
            if not self.is_alive or time.monotonic() > deadline:
                state = "is not ready" if self.is_alive else f"ended with {self.returncode}"
                raise ServerFailedError(f"{self.server.name} {state}; {self.server.log} says:\n{log_tail(self.server)}")
            time.sleep(_PROBE_PAUSE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it still runs."""
        if self.is_alive:
            self._process.send_signal(number)

    def suspend(self) -> None:
        """Freeze the process; return once it is frozen, all its threads included."""
        self.signal(signal.SIGSTOP)
        wait_until_stopped(self.pid)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        self.signal(signal.SIGCONT)

    def wait(self, within_seconds: float) -> int:
        """Return how it ended once it has. Raises subprocess.TimeoutExpired."""
        return self._process.wait(within_seconds)

    def stop(self, within_seconds: float = 10.0) -> None:
        """Ask the server to end and wait for it; kill it after `within_seconds`."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, as a crash would (kill -9), and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait()


def start(server: Server) -> Running:
    """Start a server as a child process; its output is appended to its log. Call it in the main thread.

    The kernel ends the child with the thread that started it, which is why a worker thread must not.
    """
    server.directory.mkdir(parents=True, exist_ok=True)
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            server.argv,
            cwd=server.directory,
            env=dict(server.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes one system call and takes no lock
        )
    return Running(server, process)


def wait_until_stopped(pid: int) -> None:
    """Return once a process that was sent SIGSTOP has stopped: a thread of it may go on for a moment (Linux)."""
    while not _has_stopped(pid):
        time.sleep(_STOP_PAUSE_SECONDS)


def _has_stopped(pid: int) -> bool:
    """Whether no thread of a process runs any more; on macOS it is not told."""
    with suppress(OSError):
        threads = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
        return all(thread.rpartition(") ")[2][0] in _STANDING for thread in threads)
    return True


def log_tail(server: Server, lines: int = 20) -> str:
    """Return the last lines of a server's log; a traceback in one line is cut at its start."""
    text = server.log.read_text(errors="replace") if server.log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])[-_TAIL_CHARACTERS:]


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux)."""
    if _libc is not None:
        _libc.prctl(_KILLED_WITH_PARENT, int(signal.SIGKILL))
