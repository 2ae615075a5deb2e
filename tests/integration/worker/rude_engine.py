"""An HTTP server that answers like an engine, or as badly as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

Behave = Callable[[web.Request], Awaitable[web.StreamResponse]]

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def frame(content: str | None = None, **fields: Any) -> bytes:
    """One frame of a chat stream."""
    finish = fields.pop("finish", None)
    choices = [] if "usage" in fields else [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    return b"data: " + msgspec.json.encode({"choices": choices, **fields}) + b"\n\n"


GOOD_STREAM = (frame("Hel"), frame("lo"), frame(finish="stop"), frame(usage=USAGE), b"data: [DONE]\n\n")


def streams(*pieces: bytes, pause_seconds: float = 0.0, content_type: str = "text/event-stream") -> Behave:
    """Answer with these bytes, each piece in a packet of its own."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(pause_seconds)
        return response

    return behave


def breaks_off(*pieces: bytes) -> Behave:
    """Answer with these bytes and drop the connection without an end."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        assert request.transport
        request.transport.abort()
        return response

    return behave


def answers(status: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> Behave:
    """Answer in one piece."""

    async def behave(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={"Content-Type": content_type, **headers})

    return behave


class RudeEngine:
    """The server. `paths` says how each path behaves; `bodies` and `headers` are what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: dict[str, Behave] = {}
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.gone = asyncio.Event()
        """Set when a client hung up before the end."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Behave as told; what is not told is not found."""
        self.headers.append(dict(request.headers))
        if request.method == "POST":
            self.bodies.append(msgspec.json.decode(await request.read()))
        try:
            return await self.paths.get(request.path, answers(404))(request)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise


@asynccontextmanager
async def rude_engine(**behaviours: Behave) -> AsyncIterator[RudeEngine]:
    """Serve on a free loopback port; `chat`, `completions`, `embeddings`, `models` behave as given."""
    engine = RudeEngine()
    paths = {name: f"/v1/{name}" for name in ("completions", "embeddings", "models")} | {"chat": "/v1/chat/completions"}
    engine.paths = {paths[name]: behave for name, behave in behaviours.items()}
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", engine.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    engine.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield engine
    finally:
        await runner.cleanup()
