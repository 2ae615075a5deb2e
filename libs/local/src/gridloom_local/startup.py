"""Bringing a stack up step by step, each as soon as what it needs is ready, and giving up as soon as one part dies."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pymongo.errors import PyMongoError

from gridloom_contract.registry import GATEWAY, SCHEDULER, WORKER
from gridloom_local import mongo_setup
from gridloom_local.client import Client, open_client
from gridloom_local.enrolment import Keys, ensure_keys, keep_keys, read_keys
from gridloom_local.facts import Facts
from gridloom_local.plan import MONGO, NATS, S3, SERVICES, Plan
from gridloom_local.problems import Problem
from gridloom_local.program import Program
from gridloom_local.readiness import until
from gridloom_local.supervision import BROKEN, Supervisor
from gridloom_local.voice import Say

_SUPERVISOR_SECONDS: Final = 15.0
_READY_SECONDS: Final = 60.0
_MAKE_KEYS: Final = (SCHEDULER, GATEWAY)
"""Who must be ready before accounts, keys and workers can be made."""
_WATCH_SECONDS: Final = 0.2
_MODEL_POLL_SECONDS: Final = 0.05


class Startup:
    """One start of a stack. `run` may be called once."""

    def __init__(self, plan: Plan, supervisor: Supervisor, say: Say) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._say = say
        self._programs = {program.name: program for program in plan.programs()}
        self._began = time.monotonic()

    async def run(self) -> Facts:
        """Start everything; return once the worker's model is online. Raises Problem; stopping is the caller's part."""
        await self._launch_supervisor()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch_for_deaths())
                facts = await self._bring_up()
                watch.cancel()
        except* Problem as problems:
            raise problems.exceptions[0] from None
        return facts

    async def _launch_supervisor(self) -> None:
        self._supervisor.configure(tuple(self._programs.values()))
        process = self._supervisor.launch()
        home = self._plan.home
        await until(
            lambda: process.poll() is not None or self._supervisor.answers(),
            _SUPERVISOR_SECONDS,
            lambda: Problem("the process supervisor does not answer", log=home.supervisor_log),
        )
        if process.poll() is not None:
            raise Problem("the process supervisor ended at once", log=home.supervisor_output)

    async def _bring_up(self) -> Facts:
        await asyncio.gather(self._ready(NATS), self._initiate_mongo(), self._ready(S3))
        for name in SERVICES:
            if name in self._programs:
                await asyncio.to_thread(self._supervisor.start, name)
        await asyncio.gather(*map(self._ready, _MAKE_KEYS))
        keys = await self._ensure_keys()
        await asyncio.gather(*map(self._ready, (name for name in SERVICES if name not in _MAKE_KEYS)))
        await self._model_online(keys)
        return self._facts(keys)

    async def _ready(self, name: str) -> None:
        program = self._programs[name]
        await until(program.is_ready, _READY_SECONDS, lambda: _not_ready(program))
        self._tell(f"{name} is ready")

    async def _initiate_mongo(self) -> None:
        await until(self._programs[MONGO].is_ready, _READY_SECONDS, lambda: _not_ready(self._programs[MONGO]))
        port, passwords = self._plan.ports[MONGO], self._plan.secrets.mongo_passwords
        try:
            await asyncio.to_thread(mongo_setup.initiate, port, passwords)
        except (PyMongoError, TimeoutError) as error:
            raise Problem(f"MongoDB could not be set up: {error}", log=self._programs[MONGO].log) from error
        self._tell(f"{MONGO} is ready")

    async def _ensure_keys(self) -> Keys:
        file = self._plan.home.keys_file
        old = read_keys(file)
        async with (
            open_client(self._plan.url, self._plan.secrets.admin_key) as admin,
            open_client(self._plan.url, old.api_key) as tenant,
        ):
            keys = await ensure_keys(admin, tenant, old)
        if keys != old:
            keep_keys(file, keys)
            self._tell("account, API key and worker identity are made")
        if keys.worker_token != self._plan.worker_token:
            await asyncio.to_thread(self._add_worker, keys)
        return keys

    def _add_worker(self, keys: Keys) -> None:
        programs = self._plan.with_worker_token(keys.worker_token).programs()
        self._programs = {program.name: program for program in programs}
        self._supervisor.replace(programs, WORKER)

    async def _model_online(self, keys: Keys) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        async with open_client(self._plan.url, keys.api_key) as tenant:
            while not await _is_online(tenant, self._plan.model):
                if time.monotonic() > deadline:
                    raise _not_ready(self._programs[WORKER])
                await asyncio.sleep(_MODEL_POLL_SECONDS)
        self._tell(f"model {self._plan.model} is online")

    def _facts(self, keys: Keys) -> Facts:
        plan = self._plan
        return Facts(
            url=plan.url,
            api_key=keys.api_key,
            admin_key=plan.secrets.admin_key,
            model=plan.model,
            nats_url=plan.nats_url,
            mongo_url=plan.mongo_url(mongo_setup.ADMIN),
        )

    async def _watch_for_deaths(self) -> None:
        """Raise Problem as soon as a process dies: while starting, a restart would only hide what is wrong."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for name, info in (await asyncio.to_thread(self._supervisor.processes)).items():
                if info["statename"] in BROKEN and name in self._programs:
                    raise Problem(f"{name} died while starting", log=self._programs[name].log)

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:5.1f} s  {text}")


async def _is_online(tenant: Client, model: str) -> bool:
    models = await tenant.call("GET", "/api/v1/models")
    return any(entry["name"] == model and entry["worker_count"] > 0 for entry in models)


def _not_ready(program: Program) -> Problem:
    complaint = program.complaint()
    says = f"; it says: {complaint[:500]}" if complaint else ""
    return Problem(f"{program.name} is not ready after {_READY_SECONDS:.0f} s{says}", log=program.log)
