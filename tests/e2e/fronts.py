"""The streams of all public APIs, read alike: begun at one gateway, gone on with at another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from e2e.openai_raw import CHAT, DONE, chat
from gridloom_local.sse import Event, SseParser
from gridloom_testing.clients import ApiClient

_PATIENCE_SECONDS = 15.0
_MODEL = {"model": "synthetic"}


@dataclass(frozen=True)
class Front:
    """One way to have text streamed. The stream is the answer to `path`, or `named` is where that answer has the job.

    `jobs` is where its stream can be followed, and `said` what an event says.
    """

    path: str
    body: Callable[[str], dict[str, Any]]
    jobs: str
    said: Callable[[Any], str]
    named: str = ""


def _of_choices(body: Any) -> str:
    return "".join(choice.get("delta", choice).get("content") or choice.get("text", "") for choice in body["choices"])


def _of_text(body: Any) -> str:
    return str(body.get("text", ""))


FRONTS = {
    "chat": Front(CHAT, lambda prompt: chat(prompt, stream=True), "/v1/jobs", _of_choices),
    "completion": Front(
        "/v1/completions", lambda prompt: _MODEL | {"prompt": prompt, "stream": True}, "/v1/jobs", _of_choices
    ),
    "chat for later": Front(CHAT, lambda prompt: chat(prompt) | {"async": True}, "/v1/jobs", _of_choices, named="id"),
    "infernet": Front(
        "/infernet/api/v1/jobs",
        lambda prompt: chat(prompt, stream=True),
        "/infernet/api/v1/jobs",
        _of_text,
    ),
    "native": Front("/api/v1/jobs", lambda prompt: _MODEL | {"prompt": prompt}, "/api/v1/jobs", _of_text, named="id"),
}


class Reading:
    """A stream that is being read: `text` is what it said, `last_id` where it would go on, `is_over` once it ended."""

    def __init__(self, front: Front, job: str, answer: aiohttp.ClientResponse) -> None:
        self.job = job
        self.text = ""
        self.last_id = ""
        self.is_over = False
        self._said = front.said
        self._answer = answer
        self._parser = SseParser()

    async def words(self, count: int) -> None:
        """Read until so many words were said, or to the end. Raises ClientError if the line breaks."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(self.text.split()) < count and not self.is_over:
                piece = await self._answer.content.readany()
                assert piece, f"the stream was cut off after {self.text!r}"
                for event in self._parser.feed(piece):
                    self._note(event)

    async def to_the_end(self) -> None:
        """Read everything. Raises ClientError if the line breaks."""
        await self.words(1_000_000)

    def _note(self, event: Event) -> None:
        self.last_id = event.id or self.last_id
        if event.data == DONE or event.name == "done":
            self.is_over = True
        elif event.name in ("message", "token"):
            self.text += self._said(msgspec.json.decode(event.data))


@asynccontextmanager
async def begun(front: Front, client: ApiClient, prompt: str) -> AsyncIterator[Reading]:
    """Ask for a text and read it."""
    if front.named:
        answer = await client.call("POST", front.path, front.body(prompt))
        async with gone_on(front, client, answer.body[front.named]) as reading:
            yield reading
        return
    async with client.session.post(front.path, json=front.body(prompt)) as stream:
        assert stream.status == 200, await stream.text()
        yield Reading(front, stream.headers["X-Gridloom-Job"], stream)


@asynccontextmanager
async def gone_on(front: Front, client: ApiClient, job: str, last_id: str = "") -> AsyncIterator[Reading]:
    """Follow a job behind what was read of it."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with client.session.get(f"{front.jobs}/{job}/stream", headers=headers) as stream:
        assert stream.status == 200, await stream.text()
        yield Reading(front, job, stream)
