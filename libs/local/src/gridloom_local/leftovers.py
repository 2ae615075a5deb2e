"""Processes that a killed supervisor left behind: found by the stack's mark in their environment, and ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from gridloom_local.home import Home

MARK = "GRIDLOOM_STACK"
"""The environment variable by which a stack knows its own processes, and the children of those, again."""

_TERM_SECONDS = 10.0
_KILL_SECONDS = 5.0


def find_ours(folder: Path) -> list[psutil.Process]:
    """Return every process of this user that the stack in `folder` started, children of its children included."""
    return [
        process for process in psutil.process_iter() if process.pid != os.getpid() and _mark_of(process) == str(folder)
    ]


def running_supervisor(home: Home) -> psutil.Process | None:
    """Return the supervisord that `home` records, if that process lives and really is the one of this home."""
    try:
        process = psutil.Process(int(home.supervisor_pid_file.read_text()))
        return process if str(home.supervisor_config) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def end_all(processes: Sequence[psutil.Process]) -> None:
    """End these processes: asked first, killed if they do not listen. Returns once they are gone."""
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=_TERM_SECONDS)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=_KILL_SECONDS)


def has_ended(process: psutil.Process) -> bool:
    """Whether the process is gone, or only waits for its parent to notice that."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return


def _mark_of(process: psutil.Process) -> str | None:
    try:
        if process.uids().real != os.getuid():
            return None
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None
