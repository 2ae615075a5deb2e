"""Takes a terminal event to its receiver and records what became of it: delivered, tried again later, or given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_contract.webhooks import Attempt, DeliveryState
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

log = get_logger()


class Endpoints(Protocol):
    """Endpoints in trouble."""

    async def put(self, trouble: Trouble) -> None:
        """Store the trouble of an endpoint."""
        ...

    async def recovered(self, endpoint: str) -> None:
        """Forget the trouble of an endpoint."""
        ...


@dataclass(frozen=True)
class Books:
    """Where it is read and written how deliveries fare; reads and writes of the same moment go together."""

    outcomes: GroupCommit[Outcome, bool]
    troubles: GroupCommit[str, Trouble | None]
    endpoints: Endpoints
    bury: Callable[[str, datetime], Awaitable[int]]


@dataclass(frozen=True)
class Trip:
    """What one delivery came to: the request, if one was sent, and when the next one is due, if there is one."""

    sent: Sent | None = None
    again_at: datetime | None = None


class Courier:
    """Delivers what is leased to this replica."""

    def __init__(self, post: Post, books: Books, terms: Terms, patience: Patience, clock: Clock) -> None:
        self._post = post
        self._books = books
        self._terms = terms
        self._patience = patience
        self._clock = clock

    async def deliver(self, delivery: Delivery) -> Trip:
        """Send a delivery and record what became of it. Raises `DatabaseError` if that could not be recorded."""
        trouble = await self._books.troubles.submit(delivery.endpoint)
        if trouble and trouble.disabled_at:
            await finish(self._leave(delivery, trouble.why or "disabled"))
            return Trip()
        sent = await self._post.send(delivery, self._patience)
        point("webhook.sent")
        return await finish(self._record(delivery, sent, trouble))

    async def _leave(self, delivery: Delivery, why: str) -> None:
        """Give up without a request: its endpoint is disabled."""
        attempt = Attempt(at=self._clock.now(), result="blocked", error=f"the endpoint is disabled: {why}")
        await self._books.outcomes.submit(Outcome(delivery, attempt, DeliveryState.DEAD))
        metrics.dead.inc()

    async def _record(self, delivery: Delivery, sent: Sent, trouble: Trouble | None) -> Trip:
        if not sent.answer.is_delivered:
            trouble = await self._note_failure(delivery, sent, trouble)
        outcome = self._outcome(delivery, sent, is_disabled=bool(trouble and trouble.disabled_at))
        is_ours = await self._books.outcomes.submit(outcome)
        point("webhook.recorded")
        if sent.answer.is_delivered and trouble:
            await self._books.endpoints.recovered(delivery.endpoint)
        if is_ours:
            self._count(delivery, sent, outcome)
        return Trip(sent, outcome.next_at if is_ours else delivery.next_at)

    def _outcome(self, delivery: Delivery, sent: Sent, *, is_disabled: bool) -> Outcome:
        verdict = judge(sent.answer, delivery.tries + 1, self._terms.schedule, self._terms.chance())
        is_over = is_disabled and verdict.state is DeliveryState.PENDING
        if is_over or verdict.after_seconds is None:
            state = DeliveryState.DEAD if is_over else verdict.state
            return Outcome(delivery, sent.attempt, state)
        after = timedelta(milliseconds=round(verdict.after_seconds * 1000))
        return Outcome(delivery, sent.attempt, verdict.state, self._clock.now() + after)

    async def _note_failure(self, delivery: Delivery, sent: Sent, before: Trouble | None) -> Trouble:
        """Note that the endpoint failed, and disable it if it is gone or has failed for days."""
        fresh = Trouble(delivery.endpoint, delivery.account, failing_since=sent.at, last_failure_at=sent.at)
        trouble = after_failure(
            before,
            fresh,
            is_gone=sent.answer.is_gone,
            disable_after_seconds=self._terms.disable_after_seconds,
        )
        await self._books.endpoints.put(trouble)
        if trouble.disabled_at:
            buried = await self._books.bury(delivery.endpoint, self._clock.now())
            metrics.dead.inc(buried)
            log.warning("webhook.endpoint_disabled", account=delivery.account, why=trouble.why, given_up=buried)
        return trouble

    def _count(self, delivery: Delivery, sent: Sent, outcome: Outcome) -> None:
        if delivery.sent == 0:
            metrics.first_attempt_seconds.observe(max(0.0, (sent.at - delivery.occurred_at).total_seconds()))
        if outcome.state is DeliveryState.DELIVERED:
            lag = self._clock.now() - delivery.occurred_at
            metrics.delivery_lag_seconds.observe(max(0.0, lag.total_seconds()))
        if outcome.state is DeliveryState.DEAD:
            metrics.dead.inc()
            log.warning("webhook.dead", delivery=delivery.id, job=delivery.job, attempts=delivery.sent + 1)
