"""One reader of a job's stream, event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec

from gridloom_local.sse import Event
from gridloom_testing.clients import ApiClient

_PATIENCE_SECONDS = 10.0


class StreamReader:
    """Reads a stream; `text` is what the reader has after every reset, `last_id` where it would resume."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self.text = ""
        self.resets = 0
        self.statuses: list[str] = []
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """Return the next event's name and body. Raises TimeoutError, and StopAsyncIteration at the end."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            event = await anext(self._events)
        body = msgspec.json.decode(event.data)
        self.last_id = event.id or self.last_id
        if event.name == "token":
            self.text += body["text"]
        elif event.name == "reset":
            self.text, self.resets = "", self.resets + 1
        elif event.name == "state":
            self.statuses.append(body["status"])
        return event.name, body

    async def until_text(self, text: str) -> None:
        """Read until the reader has exactly this text. Raises AssertionError if the job ends before."""
        while self.text != text:
            name, _ = await self.next()
            assert name != "done", f"the job ended with {self.text!r}"

    async def until_status(self, status: str) -> None:
        """Read until the job has this status."""
        while not self.statuses or self.statuses[-1] != status:
            await self.next()

    async def until_done(self) -> dict[str, Any]:
        """Read to the end and return the job document."""
        while True:
            name, body = await self.next()
            if name == "done":
                return dict(body)


@asynccontextmanager
async def reading(client: ApiClient, job: str, last_event_id: str = "") -> AsyncIterator[StreamReader]:
    """Open a job's stream; leaving disconnects."""
    async with aclosing(client.stream(job, last_event_id)) as events:  # type: ignore[type-var]
        yield StreamReader(events)
