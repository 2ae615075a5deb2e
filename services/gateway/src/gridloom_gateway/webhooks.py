"""Webhooks as the gateway has to do with them: where one may go, which key signs it, and what has been delivered."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_contract.registry import (
    GET_WEBHOOK_SECRET,
    LIST_DELIVERIES,
    REPLAY_DELIVERIES,
    VERIFY_WEBHOOK,
)
from gridloom_contract.webhooks import (
    DeliveriesReplayed,
    Delivery,
    DeliveryPage,
    GetWebhookSecret,
    ListDeliveries,
    ReplayDeliveries,
    VerifyWebhook,
    WebhookOrder,
    WebhookSecret,
    WebhookVerified,
)
from gridloom_domain.errors import Conflict, NotFound
from gridloom_domain.targets import TargetRules, check_target
from gridloom_gateway.desk import Questions
from gridloom_kit.seal import Seal
from gridloom_kit.trace import current_traceparent


def no_such_delivery() -> NotFound:
    """Return the one error for a delivery that is unknown, another account's, or named in a form that is no id."""
    return NotFound("there is no such delivery")


@dataclass(frozen=True)
class WebhookOrders:
    """Orders the webhook of a job. The API key that asks is sealed here and kept nowhere in this process."""

    rules: TargetRules
    seal: Seal

    def order(self, url: str | None, key: str, job: str, dialect: str) -> WebhookOrder | None:
        """Return the order for a job's end; None without a URL. Raises `Invalid` on `webhook_url`."""
        if url is None:
            return None
        check_target(url, self.rules)
        return WebhookOrder(
            url=url, sealed_key=self.sealed(key, job), format=dialect, traceparent=current_traceparent()
        )

    def sealed(self, key: str, job: str) -> str:
        """Return the key sealed for the webhook service, and for this job alone."""
        return self.seal.close(key, job)


class Deliveries:
    """What an account asks of the webhook service; deliveries of another one do not exist."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    async def page(self, wanted: ListDeliveries) -> DeliveryPage:
        """Return one page of the log, newest first."""
        return await self._questions.ask(LIST_DELIVERIES, wanted, DeliveryPage)

    async def one(self, account: str, delivery: str) -> Delivery:
        """Return one delivery. Raises `NotFound`."""
        found = (await self.page(ListDeliveries(account=account, delivery=delivery, per_page=1))).deliveries
        if not found:
            raise no_such_delivery()
        return found[0]

    async def replay(self, order: ReplayDeliveries) -> int:
        """Have deliveries sent again; return how many. Raises `Invalid` if none are named."""
        return (await self._questions.ask(REPLAY_DELIVERIES, order, DeliveriesReplayed)).count

    async def replay_one(self, account: str, delivery: str) -> int:
        """Have one delivery sent again. Raises `NotFound`, or `Conflict` if it is under way or cannot be repeated."""
        known = await self.one(account, delivery)
        count = await self.replay(ReplayDeliveries(account=account, deliveries=(delivery,)))
        if not count:
            raise Conflict(f"the delivery is being sent right now, or {known.event!r} is an event that is sent once")
        return count

    async def secret(self, account: str, *, rotate: bool) -> str:
        """Return the account's signing secret, a new one with `rotate`."""
        question = GetWebhookSecret(account=account, rotate=rotate)
        return (await self._questions.ask(GET_WEBHOOK_SECRET, question, WebhookSecret)).key

    async def verify(self, question: VerifyWebhook) -> WebhookVerified:
        """Say whether a receiver would accept a request, and why not."""
        return await self._questions.ask(VERIFY_WEBHOOK, question, WebhookVerified)
