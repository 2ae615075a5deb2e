"""The embedded stack of one home as a whole: up, down, and what it looks like in between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from types import MappingProxyType
from typing import Final
from xmlrpc.client import Error as RpcError

import psutil

from gridloom_contract.registry import GATEWAY, WORKER
from gridloom_kit.finish import finish
from gridloom_local.enrolment import read_keys
from gridloom_local.facts import Facts, write_facts
from gridloom_local.home import Home
from gridloom_local.leftovers import end_all, find_ours, has_ended, running_supervisor
from gridloom_local.observation import already_running
from gridloom_local.plan import LLAMACPP, MONGO, NATS, PORTS, S3, SERVICES, Plan, service_settings_in, smollm2_file
from gridloom_local.ports import choose_ports, remember_ports, remembered_ports, require_free
from gridloom_local.problems import Problem
from gridloom_local.readiness import until
from gridloom_local.secrets import load_or_create
from gridloom_local.startup import Startup
from gridloom_local.supervision import ENDED, Supervisor
from gridloom_local.voice import Say

_STOP_PHASES: Final = ((WORKER,), tuple(name for name in SERVICES if name != WORKER), (S3, NATS, MONGO))
"""Who stops after whom: each phase needs what the later ones run."""
_PHASE_SECONDS: Final = 25.0
_SHUTDOWN_SECONDS: Final = 10.0


class Stack:
    """The stack of one home. `say` hears one line a step; `chosen` are settings of services by their variables."""

    def __init__(self, home: Home, say: Say, chosen: Mapping[str, str] = MappingProxyType({})) -> None:
        self._home = home
        self._say = say
        self._chosen = {**chosen, **service_settings_in(os.environ)}
        self._supervisor = Supervisor(home)

    async def up(self, port: int, engine: str = LLAMACPP) -> Facts:
        """Start everything and return its facts once the worker's model is online; `port` is the gateway's.

        Raises Problem, and leaves nothing running, if a part does not come up; so it does when it is canceled.
        """
        with self._home.held():
            if running_supervisor(self._home):
                raise already_running(self._home)
            await self._end_leftovers()
            require_free(port)
            try:
                facts = await Startup(self._plan(port, engine), self._supervisor, self._say).run()
                write_facts(self._home, facts)
            except BaseException:
                await finish(self._stop())
                raise
            return facts

    async def down(self) -> bool:
        """Stop everything; return, once no process is left, whether anything ran."""
        with self._home.held():
            was_running = running_supervisor(self._home) is not None or bool(find_ours(self._home.folder))
            await finish(self._stop())
            return was_running

    async def down_if_up(self) -> None:
        """Stop everything, unless another command has done so already."""
        if running_supervisor(self._home) or find_ours(self._home.folder):
            await self.down()

    async def _stop(self) -> None:
        supervisor = running_supervisor(self._home)
        if supervisor:
            await self._stop_in_order(supervisor)
        await self._end_leftovers()
        self._home.env_file.unlink(missing_ok=True)

    async def _stop_in_order(self, supervisor: psutil.Process) -> None:
        try:
            for names in _STOP_PHASES:
                await self._stop_phase(names)
            await asyncio.to_thread(self._supervisor.shut_down)
            await self._outwait(supervisor)
        except (OSError, HTTPException, RpcError, Problem) as error:
            self._say(f"the process supervisor fails ({error}); ending its processes without it")

    async def _stop_phase(self, names: Sequence[str]) -> None:
        known = await asyncio.to_thread(self._supervisor.processes)
        for name in names:
            if name in known:
                await asyncio.to_thread(self._supervisor.stop, name)
        await until(lambda: self._have_stopped(names), _PHASE_SECONDS, lambda: self._will_not_end(names))

    def _have_stopped(self, names: Sequence[str]) -> bool:
        known = self._supervisor.processes()
        return all(known[name]["statename"] in ENDED for name in names if name in known)

    async def _outwait(self, supervisor: psutil.Process) -> None:
        await until(lambda: self._has_ended(supervisor), _SHUTDOWN_SECONDS, lambda: self._will_not_end(["supervisord"]))

    def _has_ended(self, supervisor: psutil.Process) -> bool:
        # Whatever it is asked, supervisord then looks after its own affairs at once instead of at its next tick.
        self._supervisor.answers()
        return has_ended(supervisor)

    def _will_not_end(self, names: Sequence[str]) -> Problem:
        return Problem(f"{' or '.join(names)} does not stop", log=self._home.supervisor_log)

    async def _end_leftovers(self) -> None:
        found = await asyncio.to_thread(find_ours, self._home.folder)
        if found:
            self._say(f"ending {len(found)} processes left behind: {', '.join(_described(one) for one in found)}")
            await asyncio.to_thread(end_all, found)

    def _plan(self, port: int, engine: str) -> Plan:
        if engine == LLAMACPP:
            smollm2_file()
        secrets = load_or_create(self._home.secrets_file)
        ports = choose_ports(PORTS, remembered_ports(self._home.ports_file)) | {GATEWAY: port}
        remember_ports(self._home.ports_file, ports)
        token = read_keys(self._home.keys_file).worker_token
        return Plan(self._home, ports, secrets, engine, token, self._chosen)


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.name()} ({process.pid})"
    except psutil.Error:
        return str(process.pid)
