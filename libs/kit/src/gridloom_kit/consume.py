"""Taking messages from JetStream: long pulls or deliveries, three endings, and the only acknowledgement there is.

A handler returns (acknowledged), raises `Retry` (delivered again after a while) or `Reject` (never again, logged and
counted). Anything else it raises is a bug: logged with its traceback and retried with backoff.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from gridloom_contract.base import Message
from gridloom_contract.fault import Fault
from gridloom_kit import metrics
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import API_PREFIX, JetStreamApiError, api
from gridloom_kit.log import get_logger
from gridloom_kit.trace import continue_trace
from gridloom_kit.wire import Subscription, decode_or_count

log = get_logger()
M = TypeVar("M", bound=Message)

_ACK_PREFIX = "$JS.ACK."
"""How the reply subject of what a consumer delivers begins; the server lets no client name one like it."""
_EXPIRES_SECONDS = 30
_IDLE_HEARTBEAT_SECONDS = 5
_BUG_BACKOFF_SECONDS = (1.0, 5.0, 30.0, 120.0)
_PULL_BACKOFF_SECONDS = 0.5
_NANOSECONDS = 1_000_000_000
_PULL_ENDED = frozenset({"404", "408"})


class Retry(Exception):
    """Deliver the message again after `after_seconds`."""

    def __init__(self, reason: str, after_seconds: float = 1.0) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class Reject(Exception):
    """The message can never be handled: park it. `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Endings(Generic[M]):
    """Hands each message to `handler`, many at a time, and tells JetStream how it ended."""

    def __init__(
        self, bus: Bus, stream: str, message_type: type[M], handler: Callable[[M, str], Awaitable[None]]
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._decoder = msgspec.json.Decoder(message_type)
        self._handler = handler
        self._in_hand: set[asyncio.Task[None]] = set()

    def begin(self, received: Msg) -> None:
        """Have it handled in a task of its own."""
        task = self._bus.tasks.create_task(self._handle(received))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def settle(self) -> None:
        """Return once everything in hand has ended."""
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _handle(self, received: Msg) -> None:
        continue_trace(received.headers)
        ending, reply = await self._ending(received)
        metrics.consumed.labels(self._stream, ending).inc()
        await self._bus.client.publish(received.reply, reply)

    async def _ending(self, received: Msg) -> tuple[str, bytes]:
        message = decode_or_count(self._decoder, received)
        if message is None:
            return "rejected", b"+TERM"
        try:
            await self._handler(message, received.subject)
        except Retry as retry:
            return "retried", _nak(retry.after_seconds)
        except Reject as reject:
            log.error("consume.rejected", stream=self._stream, code=str(reject.fault.code), err=reject.fault.message)
            return "rejected", b"+TERM"
        except Exception:
            log.exception("consume.handler_failed", stream=self._stream)
            return "failed", _nak(_bug_backoff(received))
        return "acknowledged", b"+ACK"


class Receiver(Generic[M]):
    """Takes what a consumer delivers to `subject` and hands each message to `handler(message, subject)`.

    `source` is the stream and the subject. The server delivers again by itself after a lost connection.
    """

    def __init__(
        self,
        bus: Bus,
        source: tuple[str, str],
        message_type: type[M],
        handler: Callable[[M, str], Awaitable[None]],
    ) -> None:
        self._bus = bus
        stream, self._subject = source
        self._endings = _Endings(bus, stream, message_type, handler)

    async def run(self, stop: asyncio.Event) -> None:
        """Take messages until `stop` is set, then wait for what is in hand."""
        inner = Subscription(await self._bus.client.subscribe(self._subject, cb=self._on_message))
        try:
            await stop.wait()
        finally:
            await inner.close()
        await self._endings.settle()

    async def _on_message(self, received: Msg) -> None:
        if received.reply.startswith(_ACK_PREFIX):
            self._endings.begin(received)
        else:  # whoever acknowledges something may name any subject on its side of the border for the answer
            metrics.messages_dropped.labels("not_delivered").inc()


class Puller(Generic[M]):
    """Pulls from one durable consumer and hands each message to `handler(message, subject)`, many at a time.

    At most `batch` messages are asked for in advance; a pull that was lost with its connection is asked for again.
    """

    def __init__(
        self,
        bus: Bus,
        consumer: tuple[str, str],
        message_type: type[M],
        handler: Callable[[M, str], Awaitable[None]],
        batch: int,
    ) -> None:
        self._bus = bus
        self._stream, self._consumer = consumer
        self._endings = _Endings(bus, self._stream, message_type, handler)
        self._ensure: Callable[[], Awaitable[None]] | None = None
        self._is_missing = False
        self._batch = batch
        self._inbox = bus.new_inbox()
        self._wanted = 0
        self._heard = asyncio.Event()

    def made_by(self, ensure: Callable[[], Awaitable[None]]) -> Puller[M]:
        """Have `ensure` make the consumer: before the first pull, and whenever the server says it is gone."""
        self._ensure, self._is_missing = ensure, True
        return self

    async def run(self, stop: asyncio.Event) -> None:
        """Pull until `stop` is set, then wait for what is in hand."""
        inner = await self._bus.client.subscribe(self._inbox, cb=self._on_message)
        self._bus.on_reconnect(self._pull_was_lost)
        waker = self._bus.tasks.create_task(self._wake_at(stop))
        try:
            while not stop.is_set():
                self._heard.clear()
                await self._make_consumer()
                await self._ask()
                await self._silence_or_sign()
        finally:
            waker.cancel()
            if not self._bus.client.is_closed:
                await inner.unsubscribe()
        await self._endings.settle()

    async def _make_consumer(self) -> None:
        """The stream may not be there yet, or not any more: whoever owns it makes it, so wait for that."""
        if self._ensure is None or not self._is_missing:
            return
        try:
            await self._ensure()
        except (JetStreamApiError, NatsError) as error:
            log.info("consume.waiting_for_stream", stream=self._stream, err=str(error))
            await asyncio.sleep(_PULL_BACKOFF_SECONDS)
            self._heard.set()
            return
        self._is_missing = False

    async def _ask(self) -> None:
        if self._is_missing:
            return
        if self._wanted > self._batch // 2:
            return
        missing = self._batch - self._wanted
        body = {
            "batch": missing,
            "expires": _EXPIRES_SECONDS * _NANOSECONDS,
            "idle_heartbeat": _IDLE_HEARTBEAT_SECONDS * _NANOSECONDS,
        }
        self._wanted += missing
        subject = f"{API_PREFIX}CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._bus.client.publish(subject, msgspec.json.encode(body), reply=self._inbox)

    async def _silence_or_sign(self) -> None:
        try:
            async with asyncio.timeout(2 * _IDLE_HEARTBEAT_SECONDS):
                await self._heard.wait()
        except TimeoutError:  # two heartbeats missed: the pull is gone, and perhaps the consumer
            self._wanted = 0
            self._is_missing = self._ensure is not None

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._heard.set()

    async def _pull_was_lost(self) -> None:
        self._wanted = 0
        self._is_missing = self._ensure is not None
        self._heard.set()

    async def _on_message(self, received: Msg) -> None:
        status = received.headers.get("Status") if received.headers else None
        if status is not None and not received.data:
            await self._on_status(status, received.headers or {})
            return
        self._wanted = max(0, self._wanted - 1)
        self._heard.set()
        self._endings.begin(received)

    async def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status == "100":
            self._heard.set()
            return
        left = int(headers.get("Nats-Pending-Messages", self._wanted))
        self._wanted = max(0, self._wanted - left)
        if status not in _PULL_ENDED:
            log.warning("consume.pull_refused", stream=self._stream, status=status, why=headers.get("Description"))
            self._wanted = 0
            self._is_missing = self._ensure is not None
            await asyncio.sleep(_PULL_BACKOFF_SECONDS)
        self._heard.set()


def _nak(seconds: float) -> bytes:
    return b"-NAK " + msgspec.json.encode({"delay": int(seconds * _NANOSECONDS)})


def _bug_backoff(received: Msg) -> float:
    attempt = min(received.metadata.num_delivered, len(_BUG_BACKOFF_SECONDS))
    return _BUG_BACKOFF_SECONDS[attempt - 1]


async def ensure_consumer(bus: Bus, stream: str, name: str, filters: list[str], **config: Any) -> None:
    """Make or update a durable pull consumer. Raises `JetStreamApiError` if the stream is missing."""
    body = {
        "stream_name": stream,
        "config": {
            "durable_name": name,
            "name": name,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "max_deliver": -1,
            "filter_subjects": filters,
            **config,
        },
    }
    await api(bus, f"CONSUMER.CREATE.{stream}.{name}", body)
