"""What requests, answers and consumers share: decoding with a count of what is not, and the trace in the headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError

from gridloom_contract.base import Message
from gridloom_kit import metrics
from gridloom_kit.log import get_logger
from gridloom_kit.trace import TRACEPARENT, current_traceparent

log = get_logger()
M = TypeVar("M", bound=Message)
Headers = Mapping[str, str]


class Subscription:
    """One subscription; `close` ends it."""

    def __init__(self, inner: NatsSubscription) -> None:
        self._inner = inner

    async def close(self) -> None:
        """Stop hearing. Messages already taken are still handled."""
        try:
            await self._inner.unsubscribe()
        except NatsError:
            log.debug("bus.unsubscribe_failed")


def decode_or_count(decoder: msgspec.json.Decoder[M], received: Msg) -> M | None:
    """Return the message, or None (counted and logged) if it is not what the registry says."""
    try:
        return decoder.decode(received.data)
    except (msgspec.DecodeError, RecursionError) as error:
        metrics.messages_dropped.labels("undecodable").inc()
        log.warning("bus.undecodable", subject_root=received.subject.split(".", 1)[0], err=str(error))
        return None


def with_trace(headers: Headers | None) -> dict[str, str] | None:
    """Return `headers` with the current trace added; None if there is nothing to send."""
    traceparent = current_traceparent()
    if traceparent is None:
        return dict(headers) if headers else None
    return {**(headers or {}), TRACEPARENT: traceparent}
