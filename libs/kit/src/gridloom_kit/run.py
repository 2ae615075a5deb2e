"""The life of a service process: settings, logs, internal port, build, serve, and a written stop order.

Stop order on SIGTERM or SIGINT: not ready any more; stop taking requests and messages; let what is in hand finish
(at most the grace); end ticks and tasks; then close what `build` opened, in reverse.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn, TypeVar

import uvloop

from gridloom_kit import metrics
from gridloom_kit.crash import arm
from gridloom_kit.internal import Health, serve_internal
from gridloom_kit.log import configure, get_logger
from gridloom_kit.serve import Serving
from gridloom_kit.service import Check, Service
from gridloom_kit.settings import ServiceSettings, SettingsError, load

log = get_logger()
S = TypeVar("S", bound=ServiceSettings)
Build = Callable[[S], AbstractAsyncContextManager[Service]]

_LAG_PROBE_SECONDS = 1.0
_COLLECT_AFTER = (20_000, 20, 20)


def run(build: Build[S], settings_type: type[S], name: str) -> NoReturn:
    """Run the service until it is told to stop. Exits 2 on unusable settings, 1 if it cannot start or breaks."""
    try:
        settings = load(settings_type, name, os.environ)
        configure(name, settings.log_level)
        arm(os.environ.get("GRIDLOOM_CRASH_AT"))
    except (SettingsError, ValueError) as error:
        sys.exit(f"{name}: {error}")
    try:
        uvloop.run(live(build, settings, name))
    except Exception as error:
        log.exception("service.failed", err=str(error))
        sys.exit(1)
    sys.exit(0)


async def live(build: Build[S], settings: S, name: str, stop: asyncio.Event | None = None) -> None:
    """Serve until `stop` is set or a signal arrives; raises what broke the service."""
    stop = stop or stop_on_signals()
    health = Health()
    metrics.build_info.labels(name, version_of(name)).set(1)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve_internal(settings.internal_host, settings.internal_port, health))
        log.info("service.starting", internal_port=port, pid=os.getpid())
        service = await stack.enter_async_context(build(settings))
        health.checks = (Check("nats", _nats_probe(service)), *service.checks)
        await _serve(service, health, stop, settings.stop_grace_seconds)
    log.info("service.stopped")


async def _serve(service: Service, health: Health, stop: asyncio.Event, grace_seconds: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        lag = tasks.create_task(_watch_loop())
        serving = Serving(service, tasks)
        await serving.start()
        health.state = "running"
        _collect_seldom()
        log.info("service.running")
        await stop.wait()
        health.state = "stopping"
        log.info("service.stopping")
        await serving.stop(grace_seconds)
        lag.cancel()


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def version_of(name: str) -> str:
    """Return the installed version of a service's package, or `unknown`."""
    try:
        return version(f"gridloom-{name}")
    except PackageNotFoundError:
        return "unknown"


def _nats_probe(service: Service) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        if not service.bus.is_connected:
            raise ConnectionError("not connected to NATS")

    return probe


def _collect_seldom() -> None:
    """Leave what is there for good out of garbage collections, and let more gather between them.

    Messages leave no cycles behind; looking for some after every 700 objects cost a tenth of all processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _watch_loop() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_PROBE_SECONDS
        await asyncio.sleep(_LAG_PROBE_SECONDS)
        metrics.loop_lag_seconds.set(max(0.0, loop.time() - due))
