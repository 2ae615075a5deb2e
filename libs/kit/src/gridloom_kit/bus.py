"""The bus:

typed messages over one NATS connection. How requests, streams and consumers work is in `rpc`, `jetstream`, `consume`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from nats.aio.msg import Msg

from gridloom_contract.base import Message, encode
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.permissions import service_inbox
from gridloom_contract.registry import Channel
from gridloom_kit import jetstream, metrics, publishing, rpc
from gridloom_kit.client import HardClient, Patience, connect, connect_options
from gridloom_kit.log import get_logger
from gridloom_kit.settings import ServiceSettings
from gridloom_kit.tasks import Tasks
from gridloom_kit.wire import Headers, Subscription, decode_or_count, with_trace

log = get_logger()
M = TypeVar("M", bound=Message)

DEFAULT_PATIENCE = Patience()
_HEADER_ROOM_BYTES = 4096


class Bus:
    """Typed traffic over one NATS connection; `tasks` is the parent of all that is handled concurrently."""

    def __init__(self, client: HardClient, tasks: Tasks) -> None:
        self.client = client
        self.tasks = tasks
        self._publisher = publishing.Publisher(self)
        self._reconnect_callbacks: list[Callable[[], Awaitable[None]]] = []

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands right now."""
        return bool(self.client.is_connected)

    @property
    def max_payload_bytes(self) -> int:
        """The largest message that may be sent, with room left for headers."""
        return int(self.client.max_payload) - _HEADER_ROOM_BYTES

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` run after every reconnection; subscriptions come back by themselves, outstanding pulls do
        not.
        """
        self._reconnect_callbacks.append(callback)

    def new_inbox(self) -> str:
        """Return a subject under this connection's own inbox prefix."""
        return str(self.client.new_inbox())

    async def publish(self, subject: str, message: Message, headers: Headers | None = None) -> None:
        """Send without waiting for anyone.

        Raises `FaultError` (too_large) instead of letting the server cut the line.
        """
        await self.publish_bytes(subject, encode(message), headers=headers)

    async def publish_bytes(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Headers | None = None
    ) -> None:
        """Send bytes as they are, with the trace of the work at hand."""
        self.guard_size(subject, payload)
        await self.client.publish(subject, payload, reply=reply, headers=with_trace(headers))

    def send_soon(self, subject: str, payload: bytes) -> None:
        """Send bytes to whoever listens, without waiting and without being waited for. `payload` must fit."""
        self.tasks.create_task(self.publish_bytes(subject, payload))

    def guard_size(self, subject: str, payload: bytes) -> None:
        """Raise `FaultError` (too_large) if `payload` would not fit; headers do not count in nats-py's own check."""
        if len(payload) > self.max_payload_bytes:
            family = subject.split(".", 1)[0]
            message = f"a {family} message of {len(payload)} bytes exceeds the bus limit of {self.max_payload_bytes}"
            raise FaultError(Fault(code=FaultCode.TOO_LARGE, message=message))

    async def subscribe(
        self,
        subject: str,
        message_type: type[M],
        handler: Callable[[M, str, Headers], Awaitable[None]],
        *,
        queue: str = "",
    ) -> Subscription:
        """Hear `subject`: `handler(message, subject, headers)` runs for one message after the other, in order."""
        decoder = msgspec.json.Decoder(message_type)

        async def on_message(received: Msg) -> None:
            message = decode_or_count(decoder, received)
            if message is None:
                return
            try:
                await handler(message, received.subject, received.headers or {})
            except Exception:
                metrics.messages_dropped.labels("handler_error").inc()
                log.exception("bus.handler_failed", subject_root=received.subject.split(".", 1)[0])

        return Subscription(await self.client.subscribe(subject, queue=queue, cb=on_message))

    async def request(
        self, channel: Channel, message: Message, *, subject: str | None = None, timeout_seconds: float = 5.0
    ) -> Any:
        """Return the answer (a `channel.reply`).

        Raises the answerer's `FaultError`, or `unavailable` if nobody answered in time.
        """
        return await rpc.request(self, channel, message, subject=subject, timeout_seconds=timeout_seconds)

    async def answer(
        self, channel: Channel, handler: rpc.Answerer, *, subject: str | None = None, queue: str = ""
    ) -> Subscription:
        """Answer requests on `channel` with `handler(message, subject)`, concurrently; what it raises becomes a
        fault.
        """
        return await rpc.answer(self, channel, handler, subject=subject, queue=queue)

    async def publish_many(self, items: Sequence[jetstream.Outgoing]) -> list[bool]:
        """Store messages in their streams, pipelined.

        Returns for each whether it is stored; never raises for one that is not.
        """
        return await self._publisher.publish_many(items)

    async def js_api(
        self, name: str, body: dict[str, Any] | None = None, timeout_seconds: float = 5.0
    ) -> dict[str, Any]:
        """Return JetStream's answer to `$JS.API.<name>`.

        Raises `jetstream.JetStreamApiError`, or `nats.errors.Error` if nobody answers.
        """
        return await jetstream.api(self, name, body, timeout_seconds)

    async def flush(self) -> None:
        """Return once the server has seen everything sent so far, subscriptions included."""
        # Shielded: a PONG that finds its flush canceled would end the client's read loop.
        await asyncio.shield(self.tasks.create_task(self._flush_twice()))

    async def _flush_twice(self) -> None:
        """The client's PING may overtake commands that it still buffers; the second one follows them."""
        await self.client.flush()
        await self.client.flush()

    async def reconnected(self) -> None:
        """Run what `on_reconnect` was given, after failing what was lost with the old connection."""
        metrics.nats_connected.set(1)
        metrics.nats_reconnects.inc()
        log.warning("bus.reconnected")
        self.client.abandon_requests()
        self._publisher.abandon()
        for callback in self._reconnect_callbacks:
            await callback()


@asynccontextmanager
async def open_bus(
    settings: ServiceSettings,
    name: str,
    *,
    inbox_prefix: str | None = None,
    token: str | None = None,
    patience: Patience = DEFAULT_PATIENCE,
) -> AsyncIterator[Bus]:
    """Connect as `name` and yield the bus; on leaving, what is in hand is flushed and the connection closed.

    Raises `nats.errors.Error` or OSError once `patience` is at its end.
    """
    bus = Bus(HardClient(), Tasks(settings.stop_grace_seconds))
    options = connect_options(settings, name, inbox_prefix or service_inbox(name), token)
    options["reconnected_cb"] = bus.reconnected
    bus.client = await connect(settings.nats_url, options, patience)
    metrics.nats_connected.set(1)
    try:
        async with bus.tasks:
            yield bus
    finally:
        metrics.nats_connected.set(0)
        await bus.client.close()
