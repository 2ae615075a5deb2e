"""The OpenAI surface by raw HTTP, chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from gridloom_local.sse import SseParser
from gridloom_testing.clients import Answer, ApiClient

CHAT = "/v1/chat/completions"
JOBS = "/v1/jobs"
DONE = "[DONE]"

_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.03


def chat(prompt: str = "Say hello", **fields: Any) -> dict[str, Any]:
    """Return the body of a request."""
    return {"model": "synthetic", "messages": [{"role": "user", "content": prompt}]} | fields


class ChunkReader:
    """Reads a stream; `text` is what was said, `last_id` where it would resume, `errors` what went wrong."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.headers: Mapping[str, str] = answer.headers
        self.text = ""
        self.last_id = ""
        self.chunks: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.is_done = False
        self._answer = answer
        self._parser = SseParser()
        self._events: list[Any] = []

    async def next(self) -> dict[str, Any] | None:
        """Return the next chunk, None at the end. Raises TimeoutError."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not self._events:
                piece = await self._answer.content.readany()
                if not piece:
                    return None
                self._events += self._parser.feed(piece)
        event = self._events.pop(0)
        assert not self.is_done, f"{event.data!r} came after the end"
        self.last_id = event.id or self.last_id
        if event.data == DONE:
            self.is_done = True
            return await self.next()
        return self._noted(msgspec.json.decode(event.data))

    async def words(self, count: int) -> None:
        """Read until so many words were said."""
        while len(self.text.split()) < count:
            assert await self.next() is not None, f"the stream ended with {self.text!r}"

    async def to_the_end(self) -> None:
        """Read everything."""
        while await self.next() is not None:
            pass

    def _noted(self, chunk: dict[str, Any]) -> dict[str, Any]:
        if "error" in chunk:
            self.errors.append(chunk["error"])
            return chunk
        self.chunks.append(chunk)
        for choice in chunk["choices"]:
            self.text += choice.get("delta", {}).get("content") or choice.get("text") or ""
        return chunk


@asynccontextmanager
async def streaming(client: ApiClient, prompt: str, path: str = CHAT, **fields: Any) -> AsyncIterator[ChunkReader]:
    """Ask for a stream; leaving disconnects."""
    async with client.session.post(path, json=chat(prompt, stream=True, **fields)) as answer:
        assert answer.status == 200, await answer.text()
        yield ChunkReader(answer)


@asynccontextmanager
async def following(client: ApiClient, job: str, last_event_id: str = "") -> AsyncIterator[ChunkReader]:
    """Follow a job; leaving disconnects."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with client.session.get(f"{JOBS}/{job}/stream", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield ChunkReader(answer)


async def asked(client: ApiClient, prompt: str = "Say hello", **fields: Any) -> Answer:
    """Return the answer to a request."""
    return await client.call("POST", CHAT, chat(prompt, **fields))


async def later(client: ApiClient, prompt: str = "Say hello", **fields: Any) -> str:
    """Submit a request that nobody waits for, and return its job."""
    answer = await asked(client, prompt, **fields, **{"async": True})
    assert answer.status == 202, answer.body
    return str(answer.body["id"])


async def until(client: ApiClient, job: str, *statuses: str) -> dict[str, Any]:
    """Return the job once it has one of these statuses."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            document = (await client.call("GET", f"{JOBS}/{job}")).body
            if document["status"] in statuses:
                return dict(document)
            await asyncio.sleep(_POLL_SECONDS)
