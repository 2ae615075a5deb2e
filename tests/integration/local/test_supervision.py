"""A real supervisord over small programs: it starts, restarts, stops, and is found again by its home alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gridloom_local.announcements import Announcer, LogFollower
from gridloom_local.home import Home
from gridloom_local.leftovers import end_all, find_ours, running_supervisor
from gridloom_local.program import Program
from gridloom_local.supervision import BROKEN, Supervisor

WAIT = "import os, sys, time; print(os.environ.get('WORD'), flush=True); time.sleep(600)"


def a_program(home: Home, name: str = "sleeper", code: str = WAIT, *, starts_alone: bool = True) -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-c", code),
        log=home.logs / f"{name}.log",
        environment={"WORD": 'one "two" three\'s'},
        starts_alone=starts_alone,
    )


def eventually(is_true: Callable[[], object], within_seconds: float = 15.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / ("deep" * 40))  # too deep for a socket in it, so every test covers that
    home.prepare()
    yield home
    end_all(find_ours(home.folder))


@pytest.fixture
def start(home: Home) -> Callable[..., Supervisor]:
    def start_(*programs: Program) -> Supervisor:
        supervisor = Supervisor(home)
        supervisor.configure(programs)
        with supervisor.launch() as process:
            eventually(supervisor.answers)
            process.returncode = 0  # nobody waits for it here: it ends with its home
        return supervisor

    return start_


def state_of(supervisor: Supervisor, name: str) -> str:
    return str(supervisor.processes()[name]["statename"])


def test_a_program_gets_its_environment_and_its_log(home: Home, start: Callable[..., Supervisor]) -> None:
    start(a_program(home))

    eventually(lambda: 'one "two" three\'s' in (home.logs / "sleeper.log").read_text())


def test_a_killed_program_is_started_again_and_that_is_announced(home: Home, start: Callable[..., Supervisor]) -> None:
    supervisor = start(a_program(home))
    eventually(lambda: state_of(supervisor, "sleeper") == "RUNNING")
    follower, announcer = LogFollower(home.supervisor_log), Announcer(home.logs)
    old = supervisor.processes()["sleeper"]["pid"]

    os.kill(old, signal.SIGKILL)

    said: list[str] = []
    eventually(lambda: said.extend(announcer.read(follower.new_lines())) or len(said) == 2)
    new = supervisor.processes()["sleeper"]["pid"]
    assert said[0].startswith("sleeper died (terminated by SIGKILL)")
    assert said[1] == f"sleeper was started again (process {new})"
    assert new != old


def test_a_program_that_ends_at_once_is_seen_as_broken(home: Home, start: Callable[..., Supervisor]) -> None:
    supervisor = start(a_program(home, code="raise SystemExit('no')"))

    eventually(lambda: state_of(supervisor, "sleeper") in BROKEN)


def test_a_program_starts_when_it_is_told_and_stops_when_it_is_told(
    home: Home, start: Callable[..., Supervisor]
) -> None:
    supervisor = start(a_program(home, starts_alone=False))
    before = state_of(supervisor, "sleeper")

    supervisor.start("sleeper")
    supervisor.start("sleeper")
    eventually(lambda: state_of(supervisor, "sleeper") == "RUNNING")
    supervisor.stop("sleeper")
    eventually(lambda: state_of(supervisor, "sleeper") == "STOPPED")
    supervisor.stop("sleeper")

    assert before == "STOPPED"


def test_a_program_can_be_added_and_replaced_while_others_run(home: Home, start: Callable[..., Supervisor]) -> None:
    first = a_program(home)
    supervisor = start(first)
    untouched = supervisor.processes()["sleeper"]["pid"]

    supervisor.replace((first, a_program(home, "second", starts_alone=False)), "second")
    eventually(lambda: state_of(supervisor, "second") == "RUNNING")
    old = supervisor.processes()["second"]["pid"]
    supervisor.replace((first, a_program(home, "second", WAIT + "#", starts_alone=False)), "second")
    eventually(lambda: state_of(supervisor, "second") == "RUNNING")

    assert supervisor.processes()["second"]["pid"] != old
    assert supervisor.processes()["sleeper"]["pid"] == untouched


def test_shutting_down_leaves_nothing(home: Home, start: Callable[..., Supervisor]) -> None:
    supervisor = start(a_program(home))
    # Between fork and exec the child has supervisord's own handlers, and would not hear that it is to stop.
    eventually(lambda: state_of(supervisor, "sleeper") == "RUNNING")

    supervisor.shut_down()

    eventually(lambda: find_ours(home.folder) == [])


def test_children_of_a_killed_supervisor_are_found(home: Home, start: Callable[..., Supervisor]) -> None:
    supervisor = start(a_program(home))
    eventually(lambda: state_of(supervisor, "sleeper") == "RUNNING")
    child = supervisor.processes()["sleeper"]["pid"]
    process = running_supervisor(home)
    assert process

    process.kill()

    eventually(lambda: child in [one.pid for one in find_ours(home.folder)])
    end_all(find_ours(home.folder))
    assert not psutil.pid_exists(child)
    assert running_supervisor(home) is None
