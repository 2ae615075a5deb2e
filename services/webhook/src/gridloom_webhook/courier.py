"""Takes a terminal event to its receiver and records what became of it: delivered, tried again later, or given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gridloom_contract.webhooks import Attempt, DeliveryState
from gridloom_domain.errors import NotFound
from gridloom_kit.batch import GroupCommit
from gridloom_kit.clock import Clock
from gridloom_kit.crash import point
from gridloom_kit.finish import finish
from gridloom_kit.log import get_logger
from gridloom_webhook import metrics
from gridloom_webhook.post import Post, Sent
from gridloom_webhook.record import Delivery, Outcome, Trouble
from gridloom_webhook.rules import Terms, after_failure, judge
from gridloom_webhook.sender import Patience
from gridloom_webhook.troubles import Troubles

log = get_logger()


@dataclass(frozen=True)
class Books:
    """Where it is read and written how deliveries fare."""

    outcomes: GroupCommit[Outcome, bool]
    troubles: Troubles
    bury: Callable[[str, datetime], Awaitable[int]]


class Courier:
    """Delivers what is leased to this replica: `send`, then `record`, so that a slot is free in between."""

    def __init__(self, post: Post, books: Books, terms: Terms, patience: Patience, clock: Clock) -> None:
        self._post = post
        self._books = books
        self._terms = terms
        self._patience = patience
        self._clock = clock

    async def send(self, delivery: Delivery) -> Sent | None:
        """Send a delivery; None if it was given up without a request: its endpoint is disabled, or its body gone."""
        trouble = await self._books.troubles.of(delivery.endpoint)
        if trouble and trouble.disabled_at:
            await finish(self._leave(delivery, f"the endpoint is disabled: {trouble.why}"))
            return None
        try:
            sent = await self._post.send(delivery, self._patience)
        except NotFound as missing:
            await finish(self._leave(delivery, missing.fault.message))
            return None
        point("webhook.sent")
        return sent

    async def record(self, delivery: Delivery, sent: Sent) -> datetime | None:
        """Record what became of a delivery, even if canceled meanwhile. Returns when it is tried again, if it is.

        Raises `DatabaseError` if it could not be recorded: then it is sent again once its lease has run out.
        """
        return await finish(self._record(delivery, sent))

    async def _leave(self, delivery: Delivery, why: str) -> None:
        """Give up without a request."""
        attempt = Attempt(at=self._clock.now(), result="blocked", error=why)
        await self._books.outcomes.submit(Outcome(delivery, attempt, DeliveryState.DEAD))
        metrics.dead.inc()

    async def _record(self, delivery: Delivery, sent: Sent) -> datetime | None:
        is_disabled = False
        if not sent.answer.is_delivered:
            is_disabled = await self._note_failure(delivery, sent)
        outcome = self._outcome(delivery, sent, is_disabled=is_disabled)
        is_ours = await self._books.outcomes.submit(outcome)
        point("webhook.recorded")
        if sent.answer.is_delivered:
            await self._books.troubles.recovered(delivery.endpoint)
        if not is_ours:
            return delivery.next_at
        self._count(delivery, sent, outcome)
        return outcome.next_at

    def _outcome(self, delivery: Delivery, sent: Sent, *, is_disabled: bool) -> Outcome:
        verdict = judge(sent.answer, delivery.tries + 1, self._terms.schedule, self._terms.chance())
        is_over = is_disabled and verdict.state is DeliveryState.PENDING
        if is_over or verdict.after_seconds is None:
            state = DeliveryState.DEAD if is_over else verdict.state
            return Outcome(delivery, sent.attempt, state)
        after = timedelta(milliseconds=round(verdict.after_seconds * 1000))
        return Outcome(delivery, sent.attempt, verdict.state, self._clock.now() + after)

    async def _note_failure(self, delivery: Delivery, sent: Sent) -> bool:
        """Note that the endpoint failed, and return whether that disables it: it is gone, or has failed for days."""
        fresh = Trouble(delivery.endpoint, delivery.account, failing_since=sent.at, last_failure_at=sent.at)
        trouble = after_failure(
            await self._books.troubles.read(delivery.endpoint),
            fresh,
            is_gone=sent.answer.is_gone,
            disable_after_seconds=self._terms.disable_after_seconds,
        )
        await self._books.troubles.put(trouble)
        if trouble.disabled_at is None:
            return False
        buried = await self._books.bury(delivery.endpoint, self._clock.now())
        metrics.dead.inc(buried)
        log.warning("webhook.endpoint_disabled", account=delivery.account, why=trouble.why, given_up=buried)
        return True

    def _count(self, delivery: Delivery, sent: Sent, outcome: Outcome) -> None:
        if delivery.sent == 0:
            metrics.first_attempt_seconds.observe(max(0.0, (sent.at - delivery.occurred_at).total_seconds()))
        if outcome.state is DeliveryState.DELIVERED:
            lag = self._clock.now() - delivery.occurred_at
            metrics.delivery_lag_seconds.observe(max(0.0, lag.total_seconds()))
        if outcome.state is DeliveryState.DEAD:
            metrics.dead.inc()
            log.warning("webhook.dead", delivery=delivery.id, job=delivery.job, attempts=delivery.sent + 1)
