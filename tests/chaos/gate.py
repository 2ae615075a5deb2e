"""An engine that keeps every job in flight until the test lets them end: no test has to hit a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from integration.worker.rude_engine import USAGE, answers, frame, rude_engine

PATIENCE_SECONDS = 60.0
ANSWER = "first and last"
_POLL_SECONDS = 0.02


class Gate:
    """Answers the first word of `ANSWER` at once and the rest when it is `opened`. `inside` counts who waits.

    `left_at` is when somebody last left, by the event loop's clock.
    """

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.inside = 0
        self.left_at = 0.0
        self.url = ""

    def engine(self, model: str) -> dict[str, Any]:
        """Return the settings of a worker that serves `model` from here."""
        return {"engine": "openai_http", "url": self.url, "models": model}

    async def until_inside(self, count: int) -> None:
        """Return once so many jobs wait here, each with its first word said."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.inside < count:
                await asyncio.sleep(_POLL_SECONDS)

    async def until_left(self) -> None:
        """Return once nobody waits here any more."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.inside:
                await asyncio.sleep(_POLL_SECONDS)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Speak as an OpenAI server does."""
        first, space, rest = ANSWER.partition(" ")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(frame(first))
        self.inside += 1
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1
            self.left_at = asyncio.get_running_loop().time()
        await response.write(frame(space + rest) + frame(finish="stop") + frame(usage=USAGE) + b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def open_gate(*models: str) -> AsyncIterator[Gate]:
    """Serve these models, with the gate closed."""
    gate = Gate()
    listed = msgspec.json.encode({"data": [{"id": model} for model in models]})
    async with rude_engine(chat=gate.answer, models=answers(200, listed)) as server:
        gate.url = server.url
        yield gate
