"""The least a proxy written with aiohttp can do: hand a request on, hand the answer back as it comes.

Run as `python -m tests.bench.passthrough PORT UPSTREAM_URL`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

_SESSION = web.AppKey("session", aiohttp.ClientSession)


async def hand_on(request: web.Request) -> web.StreamResponse:
    """Answer as the engine answers."""
    body = await request.read()
    headers = {"Content-Type": request.content_type}
    async with request.app[_SESSION].post(sys.argv[2] + request.path, data=body, headers=headers) as answer:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def _with_session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app[_SESSION] = session
        yield


def main() -> None:
    """Serve until the process is ended."""
    uvloop.install()
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", hand_on)])
    app.cleanup_ctx.append(_with_session)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
