"""The internal port of every service: /livez (the event loop turns), /readyz (what it needs is there), /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gridloom_kit.service import Check

_PROBE_SECONDS = 2.0


@dataclass
class Health:
    """What /readyz says. A service is not ready before it started and after it began to stop."""

    state: str = "starting"
    checks: tuple[Check, ...] = field(default=())

    async def failures(self) -> dict[str, str]:
        """Return what does not hold, by name; empty means ready."""
        if self.state != "running":
            return {"service": self.state}
        results = await asyncio.gather(*(_failure(check) for check in self.checks))
        return {check.name: failure for check, failure in zip(self.checks, results, strict=True) if failure}


async def _failure(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await check.probe()
    except Exception as error:  # noqa: BLE001 - the answer is the report
        return str(error) or type(error).__name__
    return None


@asynccontextmanager
async def serve_internal(host: str, port: int, health: Health) -> AsyncIterator[int]:
    """Serve the internal port and yield its number (`port` 0 takes a free one). Raises OSError if it is taken."""
    app = web.Application()
    app.add_routes([web.get("/livez", _livez), web.get("/metrics", _metrics), web.get("/readyz", _readyz(health))])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _livez(_request: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


def _readyz(health: Health) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def readyz(_request: web.Request) -> web.Response:
        failures = await health.failures()
        body = {"status": "ready" if not failures else "not ready", "failures": failures}
        return web.Response(body=orjson.dumps(body), status=503 if failures else 200, content_type="application/json")

    return readyz


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
