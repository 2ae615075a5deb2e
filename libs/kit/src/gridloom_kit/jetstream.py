"""JetStream without its client's per-message cost: raw API requests, and publishing many messages with one wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from gridloom_contract.base import Message, Value, encode
from gridloom_kit import metrics
from gridloom_kit.log import get_logger
from gridloom_kit.wire import with_trace

if TYPE_CHECKING:
    from gridloom_kit.bus import Bus

log = get_logger()

API_PREFIX = "$JS.API."
_STORE_PATIENCE_SECONDS = 6.0
"""A leader change takes 4-8 s; whoever publishes keeps the message and tries again."""


BusError = NatsError
"""What a raw request raises when nobody answers or the line is down. Services catch it by this name."""


class JetStreamApiError(Exception):
    """JetStream refused a request; `code` is like HTTP's, `err_code` JetStream's own (10059: no such stream)."""

    def __init__(self, name: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{name}: {description} ({code}/{err_code})")
        self.code = code
        self.err_code = err_code


class Outgoing(Value, frozen=True, kw_only=True):
    """One message for a stream. `message_id` makes storing it twice the same as once (for two minutes)."""

    subject: str
    message: Message
    message_id: str


async def api(bus: Bus, name: str, body: dict[str, Any] | None = None, timeout_seconds: float = 5.0) -> dict[str, Any]:
    """Return JetStream's answer to `$JS.API.<name>`.

    Raises `JetStreamApiError`, or `nats.errors.Error` if nobody answers.
    """
    payload = msgspec.json.encode(body) if body is not None else b""
    received = await bus.client.request(API_PREFIX + name, payload, timeout=timeout_seconds)
    answer: dict[str, Any] = msgspec.json.decode(received.data)
    if "error" in answer:
        error = answer["error"]
        raise JetStreamApiError(name, error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return answer


class Publisher:
    """Publishes batches and waits once for all their acknowledgements, over one inbox and without a future a
    message.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._inbox = ""
        self._batches: dict[str, _Batch] = {}
        self._count = 0

    async def publish_many(self, items: Sequence[Outgoing]) -> list[bool]:
        """Return for each item whether it is stored (again is stored too).

        Never raises for one that is not: try it again.
        """
        if not items:
            return []
        await self._open()
        self._count += 1
        name = str(self._count)
        batch = self._batches[name] = _Batch(len(items))
        try:
            with metrics.publish_seconds.time():
                await self._send(name, items, batch)
                await batch.wait(_STORE_PATIENCE_SECONDS)
        finally:
            del self._batches[name]
        metrics.publish_refused.inc(batch.stored.count(False))
        return batch.stored

    def abandon(self) -> None:
        """Stop waiting for acknowledgements lost with the connection; what has none counts as not stored."""
        for batch in self._batches.values():
            batch.abandon()

    async def _open(self) -> None:
        if not self._inbox:
            self._inbox = self._bus.new_inbox()
            await self._bus.client.subscribe(f"{self._inbox}.*.*", cb=self._on_ack)

    async def _send(self, name: str, items: Sequence[Outgoing], batch: _Batch) -> None:
        for index, item in enumerate(items):
            headers = with_trace({"Nats-Msg-Id": item.message_id})
            payload = encode(item.message)
            try:
                self._bus.guard_size(item.subject, payload)
                reply = f"{self._inbox}.{name}.{index}"
                await self._bus.client.publish(item.subject, payload, reply=reply, headers=headers)
            except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
                log.warning("jetstream.not_sent", subject_root=item.subject.split(".", 1)[0], err=str(error))
                batch.note(index, stored=False)

    async def _on_ack(self, received: Msg) -> None:
        name, index = received.subject.rsplit(".", 2)[1:]
        batch = self._batches.get(name)
        if batch is None:
            return
        stored = bool(received.data) and b'"error"' not in received.data
        if not stored:
            log.warning("jetstream.refused", answer=received.data[:200].decode(errors="replace"))
        batch.note(int(index), stored=stored)


class _Batch:
    """The acknowledgements of one batch, counted down."""

    def __init__(self, size: int) -> None:
        self.stored = [False] * size
        self._missing = size
        self._done = asyncio.Event()

    def note(self, index: int, *, stored: bool) -> None:
        self.stored[index] = stored
        self._missing -= 1
        if self._missing <= 0:
            self._done.set()

    def abandon(self) -> None:
        self._done.set()

    async def wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            log.warning("jetstream.acknowledgements_missing", missing=self._missing)


async def exists(bus: Bus, stream: str) -> bool:
    """Return whether the stream exists.

    During a leader change nobody answers, which is not "missing": that raises `nats.errors.Error`.
    """
    try:
        await api(bus, f"STREAM.INFO.{stream}")
    except JetStreamApiError as error:
        if error.code == 404:
            return False
        raise NatsError(f"nats: {error}") from error
    return True
