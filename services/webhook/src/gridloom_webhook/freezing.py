"""Freezing an event: the job's document as it is now, signed with its owner's key, as a delivery that never changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from gridloom_contract.events import JobFinished
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_kit.seal import Seal, SealError
from gridloom_webhook.record import COMPLETED, Delivery, Subscription, event_id
from gridloom_webhook.rules import Terms, pause_before
from gridloom_webhook.sign import vibe_signature

log = get_logger()
_KEY_PARTS = 3


@dataclass(frozen=True)
class Freezer:
    """Makes deliveries. `render` returns the bytes of a job's GET answer, and in which object they are if large."""

    render: Callable[[Subscription], Awaitable[tuple[bytes, str | None]]]
    seal: Seal
    terms: Terms
    clock: Clock

    async def freeze(self, subscription: Subscription, fact: JobFinished) -> Delivery:
        """Return the delivery of a terminal fact with its first due time.

        Raises `FaultError` if the job cannot be rendered.
        """
        body, ref = await self.render(subscription)
        now = self.clock.now()
        pause = pause_before(0, self.terms.schedule, self.terms.chance()) or 0.0
        return Delivery(
            id=event_id(fact.job, fact.seq),
            job=fact.job,
            account=subscription.account,
            event=COMPLETED,
            url=subscription.url,
            body=b"" if ref else body,
            ref=ref,
            occurred_at=fact.at,
            created_at=now,
            next_at=now + timedelta(milliseconds=round(pause * 1000)),
            vibe=self.vibe(subscription, body),
            kid=subscription.kid,
            traceparent=subscription.traceparent,
        )

    def vibe(self, subscription: Subscription, body: bytes) -> str | None:
        """Return the signature with the key that submitted the job; None once the key is gone."""
        if subscription.sealed_key is None:
            return None
        try:
            return vibe_signature(body, self.seal.open(subscription.sealed_key, subscription.job))
        except SealError as error:
            log.error("webhook.key_does_not_open", job=subscription.job, err=str(error))
            return None

    def kid_in(self, sealed_key: str, job: str) -> str | None:
        """Return which key is sealed (`glm_<kid>_…`), so that a revocation finds it; None if it does not open."""
        try:
            parts = self.seal.open(sealed_key, job).split("_")
        except SealError as error:
            log.error("webhook.key_does_not_open", job=job, err=str(error))
            return None
        return parts[1] if len(parts) == _KEY_PARTS else None
