"""Clients of a grid: a well-behaved one of the native API, and one of the bus that tries what it may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import aiohttp
import msgspec
from nats.aio.client import Client as NatsClient
from nats.errors import Error as NatsError

from gridloom_contract.permissions import worker_inbox
from gridloom_local.sse import Event, SseParser
from gridloom_testing.admission import worker_of
from gridloom_testing.servers import NatsServer

JOBS = "/api/v1/jobs"
ENDED = frozenset({"completed", "failed"})

_ANSWER = aiohttp.ClientTimeout(total=30)
_ENDLESS = aiohttp.ClientTimeout(total=None, connect=5)
_REFUSAL_SECONDS = 5.0
_POLL_SECONDS = 0.03


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `body` is decoded JSON, or None if there is none."""

    status: int
    body: Any
    headers: Mapping[str, str]


class ApiClient:
    """One account's view of a grid. Use it with `async with`."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {self.key}"})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session, for requests that no method here makes."""
        if self._session is None:
            raise RuntimeError("an ApiClient is used with `async with`")
        return self._session

    async def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None, **options: Any
    ) -> Answer:
        """Return the answer of one request, whatever its status. `key` is its `Idempotency-Key`."""
        data = BytesIO(msgspec.json.encode(body)) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        options.setdefault("timeout", _ANSWER)
        async with self.session.request(method, path, data=data, headers=headers, **options) as answer:
            content = await answer.read()
            is_json = answer.content_type.endswith("json") and content
            return Answer(answer.status, msgspec.json.decode(content) if is_json else None, dict(answer.headers))

    async def submit(self, model: str = "synthetic", prompt: str = "Say hello", **fields: Any) -> str:
        """Submit a job and return its id. Raises AssertionError unless it is accepted."""
        answer = await self.call("POST", JOBS, {"model": model, "prompt": prompt} | fields)
        assert answer.status == 201, f"submission refused: {answer.status} {answer.body}"
        return str(answer.body["job_id"])

    async def job(self, job: str) -> dict[str, Any]:
        """Return the job document. Raises AssertionError unless it is found."""
        answer = await self.call("GET", f"{JOBS}/{job}")
        assert answer.status == 200, f"job {job}: {answer.status} {answer.body}"
        return dict(answer.body)

    async def ended(self, job: str, within_seconds: float = 30.0) -> dict[str, Any]:
        """Follow the job to its end and return its document. Raises TimeoutError."""
        async with asyncio.timeout(within_seconds):
            while True:
                async for _ in self.stream(job):
                    pass
                document = await self.job(job)
                if document["status"] in ENDED:
                    return document

    async def until(self, job: str, *statuses: str, within_seconds: float = 30.0) -> dict[str, Any]:
        """Poll until the job has one of these statuses and return its document. Raises TimeoutError."""
        async with asyncio.timeout(within_seconds):
            while True:
                document = await self.job(job)
                if document["status"] in statuses:
                    return document
                await asyncio.sleep(_POLL_SECONDS)

    async def reached(self, job: str, event: str, times: int = 1, within_seconds: float = 30.0) -> None:
        """Return once this event has happened to the job so many times. Raises TimeoutError."""
        async with asyncio.timeout(within_seconds):
            while True:
                told = [each["type"] for each in await self.timeline(job)]
                if told.count(event) >= times:
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def stream(self, job: str, last_event_id: str = "") -> AsyncIterator[Event]:
        """Yield the events of the job's stream until the gateway ends it or the line breaks."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        parser = SseParser()
        try:
            async with self.session.get(f"{JOBS}/{job}/stream", headers=headers, timeout=_ENDLESS) as answer:
                assert answer.status == 200, f"stream of {job}: {answer.status} {await answer.text()}"
                async for piece in answer.content.iter_any():
                    for event in parser.feed(piece):
                        yield event
        except aiohttp.ClientPayloadError:
            return

    async def timeline(self, job: str) -> list[dict[str, Any]]:
        """Return everything that happened to the job."""
        answer = await self.call("GET", f"{JOBS}/{job}/timeline")
        assert answer.status == 200, f"timeline of {job}: {answer.status} {answer.body}"
        return list(answer.body["events"])


class Probe:
    """A NATS connection that tries on the wire what it may do. Each `may_…` says whether the server let it through."""

    def __init__(self, client: NatsClient, refusals: asyncio.Queue[str]) -> None:
        self.client = client
        self._refusals = refusals

    async def may_publish(self, subject: str, payload: bytes = b"{}", reply: str = "") -> bool:
        """Whether the server accepts a message to `subject`."""
        await self.client.publish(subject, payload, reply=reply)
        return not await self._is_refused(subject)

    async def is_silenced(self, subject: str, payload: bytes, reply: str) -> bool:
        """Whether the server drops a message to `subject` because of the reply subject it names."""
        await self.client.publish(subject, payload, reply=reply)
        return await self._is_refused(reply)

    async def may_subscribe(self, subject: str) -> bool:
        """Whether the server accepts a subscription."""
        subscription = await self.client.subscribe(subject)
        refused = await self._is_refused(subject)
        if not refused:
            await subscription.unsubscribe()
        return not refused

    async def _is_refused(self, subject: str) -> bool:
        """The server answers in order, so once a flush is back, a refusal has been read.

        The first flush may overtake what still waits in nats-py's buffer; the second comes after it.
        """
        await self.client.flush()
        await self.client.flush()
        found = False
        while not self._refusals.empty():
            found = f'"{subject}"'.lower() in self._refusals.get_nowait().lower() or found
        return found


@asynccontextmanager
async def open_probe(nats_server: NatsServer, **login: Any) -> AsyncIterator[Probe]:
    """Connect with a `login` as for `nats.connect`. Raises `nats.errors.Error` if it is not admitted."""
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refusals.put_nowait(str(error))

    options: dict[str, Any] = {"allow_reconnect": False, "connect_timeout": 5, "error_cb": on_error} | login
    client = NatsClient()
    try:
        await client.connect(nats_server.url, **options)
        if not client.is_connected:
            raise NatsError("nats: not admitted")
        yield Probe(client, refusals)
    finally:
        await client.close()


@asynccontextmanager
async def hostile_worker(nats_server: NatsServer, token: str) -> AsyncIterator[Probe]:
    """Connect with a worker's token, for an attacker who has stolen it or is that worker."""
    inbox = worker_inbox(worker_of(token)).encode()
    async with open_probe(nats_server, token=token, inbox_prefix=inbox) as probe:
        yield probe
