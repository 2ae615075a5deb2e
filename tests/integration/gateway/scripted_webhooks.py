"""A webhook service that says what the test wants, and asks for bodies as the real one does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gridloom_contract import registry, webhooks
from gridloom_contract.base import Message
from gridloom_contract.registry import WEBHOOK
from gridloom_contract.webhooks import Attempt, Delivery, DeliveryState
from gridloom_kit.bus import Bus
from gridloom_testing.builders import a_job_id

NOW = datetime(2026, 6, 20, 12, 0, 0, 123000, tzinfo=UTC)


def a_delivery(**changes: Any) -> Delivery:
    """A delivery that arrived at the second attempt."""
    job = changes.pop("job", None) or a_job_id()
    usual: dict[str, Any] = {
        "delivery": f"evt_{job}_4",
        "job": job,
        "event": "completed",
        "url": "https://example.org/hook",
        "state": DeliveryState.DELIVERED,
        "created_at": NOW,
        "delivered_at": NOW,
        "attempts": (
            Attempt(at=NOW, result="timeout", duration_ms=15_000, error="no answer"),
            Attempt(at=NOW, result="2xx", status=200, duration_ms=7, response="ok"),
        ),
    }
    return Delivery(**(usual | changes))


class ScriptedWebhooks:
    """`deliveries` are all there are; `asked` is what the gateway asked, `count` how many a replay finds."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.deliveries: list[Delivery] = []
        self.asked: list[Message] = []
        self.count = 1
        self.problems: tuple[str, ...] = ()

    async def arrive(self) -> None:
        """Answer from now on."""
        for channel, answer in (
            (registry.LIST_DELIVERIES, self._list),
            (registry.REPLAY_DELIVERIES, self._replay),
            (registry.GET_WEBHOOK_SECRET, self._secret),
            (registry.VERIFY_WEBHOOK, self._verify),
        ):
            await self.bus.answer(channel, answer, queue=WEBHOOK)
        await self.bus.flush()

    async def render(self, job: str, account: str, dialect: str = "native") -> webhooks.RenderedJob:
        """Ask the gateway for a body."""
        question = webhooks.RenderJob(job=job, account=account, format=dialect)
        rendered: webhooks.RenderedJob = await self.bus.request(registry.RENDER_JOB, question)
        return rendered

    async def _list(self, question: webhooks.ListDeliveries, _subject: str) -> webhooks.DeliveryPage:
        self.asked.append(question)
        named = question.delivery
        found = [one for one in self.deliveries if named in {None, one.delivery}]
        return webhooks.DeliveryPage(deliveries=tuple(found[: question.per_page]), total=len(found))

    async def _replay(self, order: webhooks.ReplayDeliveries, _subject: str) -> webhooks.DeliveriesReplayed:
        self.asked.append(order)
        return webhooks.DeliveriesReplayed(count=self.count)

    async def _secret(self, question: webhooks.GetWebhookSecret, _subject: str) -> webhooks.WebhookSecret:
        self.asked.append(question)
        return webhooks.WebhookSecret(key="whsec_new" if question.rotate else "whsec_old")

    async def _verify(self, question: webhooks.VerifyWebhook, _subject: str) -> webhooks.WebhookVerified:
        self.asked.append(question)
        return webhooks.WebhookVerified(valid=not self.problems, problems=self.problems)
