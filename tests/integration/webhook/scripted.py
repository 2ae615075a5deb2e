"""The bus around the webhook service: a scheduler that tells facts, and a gateway that renders jobs and asks."""

from __future__ import annotations

import asyncio
from typing import Any

from gridloom_contract import registry
from gridloom_contract.events import JobEvent
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.fleet import KeyRevoked
from gridloom_contract.streams import STREAMS
from gridloom_contract.webhooks import (
    Delivery,
    DeliveryPage,
    DeliveryState,
    GetWebhookSecret,
    ListDeliveries,
    RenderedJob,
    RenderJob,
    ReplayDeliveries,
    VerifyWebhook,
    WebhookVerified,
)
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.streams import ensure_streams
from unit.webhook.facts import an_acceptance, an_end

_POLL_SECONDS = 0.02
_AT_ONCE = 500


class ScriptedScheduler:
    """Tells facts."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def open(self) -> None:
        """Make the streams, as a scheduler does first of all."""
        await ensure_streams(self.bus, STREAMS)

    async def tell(self, *facts: JobEvent, again: str = "") -> None:
        """Publish facts; `again` makes them repetitions that the server does not recognise."""
        items = [
            Outgoing(subject=registry.fact_subject(fact), message=fact, message_id=f"{fact.job}:{fact.seq}{again}")
            for fact in facts
        ]
        for start in range(0, len(items), _AT_ONCE):
            assert all(await self.bus.publish_many(items[start : start + _AT_ONCE]))

    async def run_job(self, url: str, **changes: Any) -> str:
        """Let a job be accepted and end well; return it."""
        accepted = an_acceptance(url, **changes)
        await self.tell(accepted, an_end(accepted.job, account=accepted.account))
        return accepted.job


class ScriptedGateway:
    """Renders jobs: `bodies` and `refs` have those that are not the usual, `is_down` lets it answer nothing."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.bodies: dict[str, bytes] = {}
        self.refs: dict[str, str] = {}
        self.rendered: list[str] = []
        self.is_down = False

    async def open(self) -> None:
        """Answer from now on."""
        await self.bus.answer(registry.RENDER_JOB, self._on_render, queue=registry.GATEWAY)
        await self.bus.flush()

    async def _on_render(self, question: RenderJob, _subject: str) -> RenderedJob:
        self.rendered.append(question.job)
        if self.is_down:
            raise FaultError(Fault(code=FaultCode.UNAVAILABLE, message="later", retryable=True))
        if question.job in self.refs:
            return RenderedJob(ref=self.refs[question.job])
        return RenderedJob(body=self.body_of(question.job))

    def body_of(self, job: str) -> bytes:
        """Return what GET answers."""
        return self.bodies.get(job, f'{{"job_id":"{job}","status":"completed","output":"Grüße"}}'.encode())

    async def deliveries(self, account: str = "acc1", **asked: Any) -> DeliveryPage:
        """Ask for the log."""
        page: DeliveryPage = await self.bus.request(registry.LIST_DELIVERIES, ListDeliveries(account=account, **asked))
        return page

    async def delivery(self, job: str, *states: DeliveryState, account: str = "acc1") -> Delivery:
        """Return the job's (newest) delivery once it is in one of these states."""
        async with asyncio.timeout(20):
            while True:
                page = await self.deliveries(account, job=job)
                if page.deliveries and (not states or page.deliveries[0].state in states):
                    return page.deliveries[0]
                await asyncio.sleep(_POLL_SECONDS)

    async def replay(self, account: str = "acc1", **order: Any) -> int:
        """Order a replay."""
        return int(
            (await self.bus.request(registry.REPLAY_DELIVERIES, ReplayDeliveries(account=account, **order))).count
        )

    async def secret(self, account: str = "acc1", *, rotate: bool = False) -> str:
        """Ask for the signing secret."""
        question = GetWebhookSecret(account=account, rotate=rotate)
        return str((await self.bus.request(registry.GET_WEBHOOK_SECRET, question)).key)

    async def verify(self, body: bytes, headers: dict[str, str], **asked: Any) -> WebhookVerified:
        """Ask whether a request would pass."""
        question = VerifyWebhook(account="acc1", body=body.decode(), headers=headers, **asked)
        verified: WebhookVerified = await self.bus.request(registry.VERIFY_WEBHOOK, question)
        return verified

    async def revoke(self, kid: str, *, is_changed_only: bool = False) -> None:
        """Say that a key is revoked, or that something about it has changed."""
        news = KeyRevoked(kid=kid, is_changed_only=is_changed_only)
        await self.bus.publish(registry.KEY_REVOKED.subject, news)

    async def until_answered(self, within_seconds: float = 20.0) -> None:
        """Return once a webhook service answers."""
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    await self.deliveries()
                    return
                except FaultError as error:
                    if error.fault.code is not FaultCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(_POLL_SECONDS)
