"""Only processes that carry the stack's own mark are ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from gridloom_local.home import Home
from gridloom_local.leftovers import MARK, end_all, find_ours, running_supervisor

WAIT = "import sys; print('up', flush=True); sys.stdin.read()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT


@contextmanager
def a_process(code: str = WAIT, mark: str = "") -> Iterator[subprocess.Popen[bytes]]:
    environment = {MARK: mark} if mark else {}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_process_with_our_mark_is_ours_and_others_are_not(tmp_path: Path) -> None:
    with (
        a_process(mark=str(tmp_path)) as ours,
        a_process(mark=str(tmp_path / "other")),
        a_process(),
    ):
        assert [process.pid for process in find_ours(tmp_path)] == [ours.pid]


def test_what_is_ours_is_ended(tmp_path: Path) -> None:
    with a_process(mark=str(tmp_path)) as ours:
        end_all(find_ours(tmp_path))

        assert not psutil.pid_exists(ours.pid)


def test_what_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridloom_local.leftovers._TERM_SECONDS", 0.1)
    with a_process(STUBBORN, mark=str(tmp_path)) as ours:
        end_all(find_ours(tmp_path))

        assert not psutil.pid_exists(ours.pid)


def test_a_stale_pid_file_that_names_somebody_else_is_no_supervisor(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.supervisor_pid_file.write_text(str(os.getpid()))

    assert running_supervisor(home) is None


@pytest.mark.parametrize("content", ["", "x", "99999999"])
def test_a_pid_file_that_names_nobody_is_no_supervisor(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.supervisor_pid_file.write_text(content)

    assert running_supervisor(home) is None
