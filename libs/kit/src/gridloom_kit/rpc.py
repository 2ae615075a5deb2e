"""Request and answer over the bus, typed by the registry's channels.

A fault travels as such and is raised at the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, ConnectionReconnectingError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from prometheus_client import Histogram

from gridloom_contract.base import Message, encode, tag_of
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.permissions import worker_inbox
from gridloom_contract.registry import Channel
from gridloom_contract.subjects import worker_in
from gridloom_kit import metrics
from gridloom_kit.log import get_logger
from gridloom_kit.trace import continue_trace
from gridloom_kit.wire import Subscription, with_trace

if TYPE_CHECKING:
    from gridloom_kit.bus import Bus

log = get_logger()
Answerer = Callable[[Any, str], Awaitable[Message]]

_INBOXES = "_INBOX"
_FAULT_HEADER = "Gridloom-Fault"
_fault_decoder = msgspec.json.Decoder(Fault)
_decoders: dict[type[Message], msgspec.json.Decoder[Any]] = {}


async def request(
    bus: Bus, channel: Channel, message: Message, *, subject: str | None = None, timeout_seconds: float = 5.0
) -> Any:
    """Return the answer to `message` (of type `channel.reply`).

    Raises `FaultError`: the answerer's own, or `unavailable` (retryable) when nobody answered in time; the request may
    have been carried out all the same.
    """
    target = subject or channel.subject
    payload = encode(message)
    bus.guard_size(target, payload)
    try:
        answer = await bus.client.request(target, payload, timeout=timeout_seconds, headers=with_trace(None))
    except (NoRespondersError, NatsTimeoutError, ConnectionClosedError, ConnectionReconnectingError) as error:
        raise _unavailable(channel, error) from error
    if answer.headers and _FAULT_HEADER in answer.headers:
        raise FaultError(_fault_decoder.decode(answer.data))
    return _decoder(channel.reply).decode(answer.data)


async def answer(
    bus: Bus, channel: Channel, handler: Answerer, *, subject: str | None = None, queue: str = ""
) -> Subscription:
    """Answer requests on `channel`: `handler(message, subject)` runs concurrently and returns the reply.

    Every request gets an answer: what the handler raises becomes a fault, an unexpected error an `internal` one.
    """
    seconds = metrics.handler_seconds.labels(channel.subject)

    async def on_request(received: Msg) -> None:
        # One task a request: a slow answer must not hold up the next one.
        bus.tasks.create_task(_answer_one(bus, channel, handler, seconds, received))

    inner = await bus.client.subscribe(subject or channel.subject, queue=queue, cb=on_request)
    return Subscription(inner)


async def _answer_one(bus: Bus, channel: Channel, handler: Answerer, seconds: Histogram, received: Msg) -> None:
    continue_trace(received.headers)
    with seconds.time():
        try:
            message = _decoder(channel.message).decode(received.data)
            payload, headers = encode(await handler(message, received.subject)), None
            bus.guard_size(channel.subject, payload)
        except Exception as error:  # noqa: BLE001 - whoever asked gets to know
            payload, headers = _as_fault(channel, error)
    if _is_askers_own(channel, received):
        await bus.publish_bytes(received.reply, payload, headers=headers)


def _is_askers_own(channel: Channel, received: Msg) -> bool:
    """Whether the reply goes to an inbox, and a worker's to its own: nobody is made to speak elsewhere for another."""
    inbox = worker_inbox(worker_in(received.subject)) if channel.for_workers else _INBOXES
    if not received.reply or received.reply.startswith(inbox + "."):
        return bool(received.reply)
    metrics.messages_dropped.labels("foreign_reply").inc()
    log.warning("rpc.foreign_reply", channel=channel.subject)
    return False


def _as_fault(channel: Channel, error: Exception) -> tuple[bytes, dict[str, str]]:
    fault = _fault_of(channel, error)
    metrics.handler_faults.labels(channel.subject, str(fault.code)).inc()
    return msgspec.json.encode(fault), {_FAULT_HEADER: str(fault.code)}


def _fault_of(channel: Channel, error: Exception) -> Fault:
    if isinstance(error, FaultError):
        return error.fault
    if isinstance(error, msgspec.DecodeError):
        return Fault(code=FaultCode.INVALID, message=f"not a {tag_of(channel.message)}: {error}")
    log.error("rpc.handler_failed", channel=channel.subject, exc_info=error)
    return Fault(code=FaultCode.INTERNAL, message="an internal error; it has been logged", retryable=True)


def _unavailable(channel: Channel, error: Exception) -> FaultError:
    message = f"nobody answered {channel.subject} in time ({type(error).__name__})"
    return FaultError(
        Fault(code=FaultCode.UNAVAILABLE, message=message, retry_after_seconds=1.0, retryable=True),
    )


def _decoder(message: type[Message] | None) -> msgspec.json.Decoder[Any]:
    if message is None:
        raise TypeError("this channel has no reply")
    return _decoders.setdefault(message, msgspec.json.Decoder(message))
