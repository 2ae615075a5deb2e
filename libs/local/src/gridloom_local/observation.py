"""Looking at a running stack: how each process is, and what happens to it meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from gridloom_local.announcements import Announcer, LogFollower
from gridloom_local.facts import read_facts
from gridloom_local.home import Home
from gridloom_local.leftovers import running_supervisor
from gridloom_local.plan import SERVICES
from gridloom_local.ports import remembered_ports
from gridloom_local.problems import NOT_REACHABLE, Problem
from gridloom_local.readiness import accepts, says_ready
from gridloom_local.supervision import Supervisor
from gridloom_local.voice import Say

_WATCH_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Condition:
    """How one process of a running stack is. `deaths` counts since the stack was started."""

    name: str
    state: str
    is_ready: bool
    pid: int
    up_seconds: int
    deaths: int
    log: str


def conditions(home: Home) -> list[Condition]:
    """Return how each process of the running stack is. Raises Problem if the stack is down."""
    if not running_supervisor(home):
        raise Problem(
            f"no stack runs in {home.folder}",
            remedy="start it with `gridloom up`, or name its folder with GRIDLOOM_HOME",
            exit_code=NOT_REACHABLE,
        )
    announcer = Announcer(home.logs)
    announcer.read(LogFollower(home.supervisor_log, from_start=True).new_lines())
    ports = remembered_ports(home.ports_file)
    return [
        Condition(
            name=name,
            state=info["statename"].lower(),
            is_ready=_is_ready(name, ports),
            pid=info["pid"],
            up_seconds=max(0, info["now"] - info["start"]),
            deaths=announcer.deaths[name],
            log=info["stdout_logfile"],
        )
        for name, info in Supervisor(home).processes().items()
    ]


async def watch(home: Home, say: Say) -> None:
    """Say which process died and which was started again, until the stack is down or the caller is canceled."""
    supervisor = running_supervisor(home)
    follower = LogFollower(home.supervisor_log)
    announcer = Announcer(home.logs)
    while supervisor and supervisor.is_running():
        await asyncio.sleep(_WATCH_SECONDS)
        for sentence in announcer.read(follower.new_lines()):
            say(sentence)


def already_running(home: Home) -> Problem:
    """Return the refusal to start a stack twice."""
    facts = read_facts(home)
    where = f" at {facts.url}" if facts else ""
    return Problem(
        f"the stack in {home.folder} is running already{where}",
        remedy="see it with `gridloom status`, stop it with `gridloom down`, or start another with GRIDLOOM_HOME",
    )


def _is_ready(name: str, ports: dict[str, int]) -> bool:
    if name in SERVICES:
        return says_ready(ports[f"{name}_internal"])()
    return accepts(ports[name])()
