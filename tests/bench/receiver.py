"""Receivers of webhooks: one that is fast and remembers when what came, and two kinds of dead ones.

Run as `python -m tests.bench.receiver PORT SILENT_PORT`; nobody may listen on a third port that is dead at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

import msgspec
import uvloop
from aiohttp import web

_ARRIVALS = web.AppKey("arrivals", dict[str, float])


class Body(msgspec.Struct):
    """What is needed of a webhook's body."""

    job_id: str


async def receive(request: web.Request) -> web.Response:
    """Note the first arrival of a job's webhook."""
    job = msgspec.json.decode(await request.read(), type=Body).job_id
    request.app[_ARRIVALS].setdefault(job, time.time())
    return web.Response(status=204)


async def arrivals(request: web.Request) -> web.Response:
    """Tell when each job's webhook came, in seconds since 1970."""
    return web.Response(body=msgspec.json.encode(request.app[_ARRIVALS]), content_type="application/json")


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        await reader.read()


async def _silence(_app: web.Application) -> AsyncIterator[None]:
    async with await asyncio.start_server(_say_nothing, "127.0.0.1", int(sys.argv[2])):
        yield


def main() -> None:
    """Serve until the process is ended."""
    uvloop.install()
    app = web.Application()
    app[_ARRIVALS] = {}
    app.add_routes([web.post("/hook", receive), web.get("/arrivals", arrivals)])
    app.cleanup_ctx.append(_silence)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
