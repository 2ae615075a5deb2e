"""Workers that the scheduler admitted and that do not behave: each has an identity, a connection, and no manners."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridloom_contract.permissions import worker_inbox
from gridloom_kit.bus import open_bus
from gridloom_kit.settings import ServiceSettings
from gridloom_testing.admission import worker_of
from gridloom_testing.builders import an_offer
from gridloom_testing.grid import Grid
from integration.scheduler.scripted import ScriptedWorker


@asynccontextmanager
async def a_stranger(grid: Grid, model: str, token: str = "") -> AsyncIterator[ScriptedWorker]:
    """Have a worker, newly enrolled unless a token is given, offer `model` and do only what the test says."""
    token = token or grid.enrol()
    worker = worker_of(token)
    settings = ServiceSettings(nats_url=grid.nats.url)
    async with open_bus(settings, "worker", inbox_prefix=worker_inbox(worker), token=token) as bus:
        stranger = ScriptedWorker(bus, worker, offers=(an_offer(model=model),))
        await stranger.arrive()
        try:
            yield stranger
        finally:
            await stranger.leave()
