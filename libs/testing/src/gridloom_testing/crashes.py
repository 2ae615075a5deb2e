"""What tests of crashes share: a service that dies as a process, at a crash point or when it is killed."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

from gridloom_contract.streams import EVENTS
from gridloom_kit.bus import Bus
from gridloom_kit.settings import ServiceSettings
from gridloom_local.running import Running
from gridloom_local.servers import Server
from gridloom_testing import nursery

StartProcess = Callable[..., Running]

_KILLED: Final = 137
_POINT: Final = re.compile(r'\bpoint\("(\S+?)"\)')
_SOON_NANOSECONDS: Final = 1_000_000_000


def crash_points(package: ModuleType) -> list[str]:
    """Return the names of all crash points in the sources of a service."""
    sources = Path(str(package.__file__)).parent.rglob("*.py")
    return sorted({name for source in sources for name in _POINT.findall(source.read_text())})


@contextmanager
def processes_of(
    service: str, settings_for: Callable[..., ServiceSettings], folder: Path
) -> Iterator[Callable[..., Running]]:
    """Yield what starts the service as a process: `start(crash_at, **changes)`, the changes to its settings.

    What still runs on leaving is killed. The processes' logs are in `folder`.
    """
    started: list[Running] = []

    def start(crash_at: str = "", **changes: object) -> Running:
        settings = msgspec.structs.asdict(settings_for(**changes))
        server = Server(
            name=service,
            argv=(sys.executable, "-m", f"gridloom_{service}"),
            directory=folder,
            log=folder / "log",
            port=0,
            environment=nursery.variables(service, settings) | {"GRIDLOOM_CRASH_AT": crash_at},
            is_ready=lambda: True,
        )
        started.append(nursery.start(server))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()


async def until_crashed(process: Running, within_seconds: float = 30.0) -> None:
    """Return once a process has died at its crash point. Raises TimeoutError; AssertionError if it ended otherwise."""
    async with asyncio.timeout(within_seconds):
        code = await nursery.ended(process)
    assert code == _KILLED, f"{process.server.name} ended with {code}: {process.server.log.read_text()[-2000:]}"


async def deliver_again_soon(bus: Bus, service: str) -> None:
    """Have the server repeat what a dead process had in hand after a second instead of half a minute.

    `bus` is the service's own, whose consumer it is; a service that starts makes it as it was.
    """
    info = await bus.js_api(f"CONSUMER.INFO.{EVENTS}.{service}")
    config = info["config"] | {"ack_wait": _SOON_NANOSECONDS}
    await bus.js_api(f"CONSUMER.CREATE.{EVENTS}.{service}", {"stream_name": EVENTS, "config": config})
