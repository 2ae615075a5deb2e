"""Facts about jobs: subscribe when one is accepted, speak when it starts, deliver when it ends. Safe to hear twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from gridloom_contract.events import JobAccepted, JobFinished, JobRetried, JobStarted
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_kit.batch import GroupCommit
from gridloom_kit.consume import Reject, Retry
from gridloom_kit.crash import point
from gridloom_kit.log import bind, get_logger
from gridloom_kit.trace import current_traceparent
from gridloom_webhook import metrics
from gridloom_webhook.dispatch import Dispatcher
from gridloom_webhook.freezing import Freezer
from gridloom_webhook.keyring import Keyring
from gridloom_webhook.progress import Note, Progress
from gridloom_webhook.record import COMPLETED, START, Closing, Delivery, Subscription

log = get_logger()
Fact = JobAccepted | JobStarted | JobRetried | JobFinished

_RENDER_AGAIN_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 30.0
_PATIENCE = timedelta(days=1)
"""How long an ending waits for its subscription: what was accepted is published again within a day."""
_STALE = timedelta(seconds=10)
_SOON_SECONDS = 0.05


@dataclass(frozen=True)
class Files:
    """Subscriptions and deliveries; what arrives at the same moment is written together."""

    find: GroupCommit[str, Subscription | None]
    insert: GroupCommit[Delivery, bool]
    close: GroupCommit[Closing, None]


class Turns:
    """Lets those who speak of the same job in one after the other, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, job: str) -> AsyncIterator[None]:
        """Wait for the turn."""
        lock, waiting = self._locks.get(job, (asyncio.Lock(), 0))
        self._locks[job] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            waiting = self._locks[job][1] - 1
            if waiting:
                self._locks[job] = lock, waiting
            else:
                del self._locks[job]


class Facts:
    """One method a fact."""

    def __init__(
        self, files: Files, keyring: Keyring, freezer: Freezer, dispatcher: Dispatcher, progress: Progress
    ) -> None:
        self._files = files
        self._keyring = keyring
        self._freezer = freezer
        self._dispatcher = dispatcher
        self._progress = progress
        self._turns = Turns()

    async def on_fact(self, fact: Fact) -> None:
        """Hear one fact; those of one job one after the other, as they arrive."""
        if isinstance(fact, JobAccepted) and fact.webhook is None:
            return
        bind(job=fact.job)
        async with self._turns.of(fact.job):
            match fact:
                case JobAccepted():
                    await self.on_accepted(fact)
                case JobStarted():
                    await self.on_started(fact)
                case JobRetried():
                    await self.on_retried(fact)
                case JobFinished():
                    await self.on_finished(fact)

    async def on_accepted(self, fact: JobAccepted) -> None:
        """Store where the job's events go."""
        order = fact.webhook
        if order is None:
            return
        kid = self._freezer.kid_in(order.sealed_key, fact.job) if order.sealed_key else None
        await self._keyring.subscribe(
            Subscription(
                job=fact.job,
                account=fact.account,
                url=order.url,
                events=order.events,
                format=order.format,
                sealed_key=order.sealed_key or None,
                kid=kid,
                created_at=fact.at,
                traceparent=order.traceparent or current_traceparent(),
            )
        )
        point("webhook.subscribed")

    async def on_retried(self, fact: JobRetried) -> None:
        """The job runs again: its next end is an event of its own, signed with the key that asked for it."""
        kid = self._freezer.kid_in(fact.sealed_key, fact.job) if fact.sealed_key else None
        await self._keyring.reopen(fact.job, fact.seq, fact.sealed_key, kid)

    async def on_started(self, fact: JobStarted) -> None:
        """Tell whoever asked for it that the job has started; late news are none."""
        if not fact.has_webhook or self._age(fact) > _STALE:
            return
        subscription = await self._files.find.submit(fact.job)
        if subscription is None:
            raise self._unknown(fact)
        if START in subscription.events and subscription.ended_seq < fact.seq:
            self._progress.note(Note(subscription, START, fact.seq, fact.at))

    async def on_finished(self, fact: JobFinished) -> None:
        """Freeze the event and have it delivered. Raises `Retry` until subscription and document are at hand."""
        if not fact.has_webhook:
            return
        subscription = await self._files.find.submit(fact.job)
        if subscription is None:
            raise self._unknown(fact)
        await self._progress.end(fact.job)
        if subscription.ended_seq == fact.seq:
            return
        if subscription.awaits_its_retry(fact.seq) and self._age(fact) < _STALE:
            raise Retry("the job's retry is not here yet", _SOON_SECONDS)
        if COMPLETED in subscription.events:
            await self._deliver(subscription, fact)
        else:
            await self._close(fact)

    async def _deliver(self, subscription: Subscription, fact: JobFinished) -> None:
        delivery = await self._frozen(subscription, fact)
        point("webhook.rendered")
        lease = self._dispatcher.lease_for(delivery)
        if lease:
            delivery = replace(delivery, lease=lease[0], next_at=lease[1])
        is_new = await self._files.insert.submit(delivery)
        point("webhook.inserted")
        await self._close(fact)
        if is_new:
            self._dispatcher.offer(delivery)

    async def _frozen(self, subscription: Subscription, fact: JobFinished) -> Delivery:
        try:
            return await self._freezer.freeze(subscription, fact)
        except FaultError as error:
            if error.fault.retryable:
                raise Retry(str(error), _RENDER_AGAIN_SECONDS) from error
            metrics.unrenderable.inc()
            raise Reject(error.fault) from error

    async def _close(self, fact: JobFinished) -> None:
        await self._files.close.submit(Closing(fact.job, fact.seq, self._freezer.clock.now()))

    def _unknown(self, fact: JobStarted | JobFinished) -> Exception:
        age = self._age(fact)
        if age > _PATIENCE:
            message = f"job {fact.job} ended with a webhook that nobody ever told of"
            return Reject(Fault(code=FaultCode.NOT_FOUND, message=message))
        wait = min(max(age.total_seconds() / 2, _SOON_SECONDS), _LONGEST_WAIT_SECONDS)
        return Retry("the subscription is not here yet", wait)

    def _age(self, fact: Fact) -> timedelta:
        return self._freezer.clock.now() - fact.at
