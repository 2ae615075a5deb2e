"""One signed request about one event: the headers, the sending, and its line in the log of attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gridloom_contract.webhooks import Attempt
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_kit.trace import TRACEPARENT
from gridloom_webhook import metrics, sign
from gridloom_webhook.record import Delivery
from gridloom_webhook.rules import Answer
from gridloom_webhook.sender import Patience, Sender

log = get_logger()

USER_AGENT = "Gridloom-Webhook/1"


@dataclass(frozen=True)
class Sent:
    """One attempt: when it began, and how it ended."""

    at: datetime
    answer: Answer

    @property
    def attempt(self) -> Attempt:
        """The attempt as the log keeps it."""
        answer = self.answer
        return Attempt(
            at=self.at,
            result=answer.result,
            status=answer.status,
            duration_ms=round(answer.duration_seconds * 1000),
            response=answer.response,
            error=answer.error,
        )


class Bodies(Protocol):
    """Where bodies are."""

    def filled(self, delivery: Delivery) -> AbstractAsyncContextManager[Delivery]:
        """Yield the delivery with its body."""
        ...


class Post:
    """Signs and sends. `secrets` returns the signing secrets of an account."""

    def __init__(
        self, sender: Sender, bodies: Bodies, secrets: Callable[[str], Awaitable[list[str]]], clock: Clock
    ) -> None:
        self._sender = sender
        self._bodies = bodies
        self._secrets = secrets
        self._clock = clock

    async def send(self, delivery: Delivery, patience: Patience) -> Sent:
        """Send the next attempt of `delivery`; never raises for what the receiver does.

        Raises `FaultError` if the body cannot be had.
        """
        async with self._bodies.filled(delivery) as whole:
            at = self._clock.now()
            headers = headers_of(whole, await self._secrets(delivery.account), int(at.timestamp()))
            answer = await self._sender.send(delivery.url, whole.body, headers, patience)
        metrics.attempts.labels(delivery.event, answer.result).inc()
        log.info(
            "webhook.sent",
            delivery=delivery.id,
            job=delivery.job,
            attempt=delivery.sent + 1,
            result=answer.result,
            duration_ms=round(answer.duration_seconds * 1000),
        )
        return Sent(at, answer)


def headers_of(delivery: Delivery, secrets: list[str], timestamp: int) -> dict[str, str]:
    """Return the headers of the next attempt: both signatures, what it is about, and the trace of the job."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        sign.ID: delivery.id,
        sign.TIMESTAMP: str(timestamp),
        sign.SIGNATURE: sign.standard_signature(delivery.id, timestamp, delivery.body, secrets),
        "X-Gridloom-Event": delivery.event,
        "X-Gridloom-Delivery-Attempt": str(delivery.sent + 1),
    }
    if delivery.vibe:
        headers[sign.VIBE] = delivery.vibe
    if delivery.traceparent:
        headers[TRACEPARENT] = delivery.traceparent
    return headers
