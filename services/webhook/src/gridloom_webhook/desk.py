"""What the gateway asks: the delivery log, replays, the signing secret, and whether a signature would pass."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from gridloom_contract.webhooks import (
    DeliveriesReplayed,
    Delivery,
    DeliveryPage,
    DeliveryState,
    GetWebhookSecret,
    ListDeliveries,
    ReplayDeliveries,
    VerifyWebhook,
    WebhookSecret,
    WebhookVerified,
)
from gridloom_domain.errors import Invalid
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_webhook.dispatch import Dispatcher
from gridloom_webhook.sign import problems_with
from gridloom_webhook.signing import SigningSecrets

log = get_logger()

MOST_PER_PAGE = 100
_MOST_NAMED = 1000
_REPLAYABLE = frozenset({None, DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD})


class Log(Protocol):
    """The delivery log."""

    async def page(self, question: ListDeliveries) -> tuple[list[Delivery], int]:
        """Return one page and the number of all."""
        ...

    async def replay(self, order: ReplayDeliveries, now: datetime) -> int:
        """Make what is ordered due now."""
        ...

    async def lanes_and_endpoints(self, order: ReplayDeliveries) -> tuple[list[str], list[str]]:
        """Return the lanes and the endpoints of what is ordered."""
        ...


class Endpoints(Protocol):
    """Endpoints in trouble."""

    async def enable(self, endpoints: Iterable[str]) -> None:
        """Forget their trouble."""
        ...


class Desk:
    """One method a message. Deliveries of another account do not exist."""

    def __init__(
        self,
        log_of_deliveries: Log,
        endpoints: Endpoints,
        secrets: SigningSecrets,
        dispatcher: Dispatcher,
        clock: Clock,
    ) -> None:
        self._log = log_of_deliveries
        self._endpoints = endpoints
        self._secrets = secrets
        self._dispatcher = dispatcher
        self._clock = clock

    async def on_list(self, question: ListDeliveries) -> DeliveryPage:
        """Return a page of an account's deliveries. Raises `Invalid` for a page that is none."""
        if question.page < 1 or not 1 <= question.per_page <= MOST_PER_PAGE:
            message = (
                f"page {question.page} of {question.per_page} is no page: 1 … {MOST_PER_PAGE} deliveries, from page 1"
            )
            raise Invalid(message, "page")
        deliveries, total = await self._log.page(question)
        return DeliveryPage(deliveries=tuple(deliveries), total=total)

    async def on_replay(self, order: ReplayDeliveries) -> DeliveriesReplayed:
        """Deliver again, with the same id and bytes; an endpoint that was disabled gets another chance.

        Raises `Invalid` if it names neither deliveries nor a range.
        """
        if not order.deliveries and order.since is None and order.until is None:
            raise Invalid("name deliveries, or a range by `since` and `until`", "deliveries")
        if len(order.deliveries) > _MOST_NAMED:
            raise Invalid(f"at most {_MOST_NAMED} deliveries at a time, not {len(order.deliveries)}", "deliveries")
        if order.state not in _REPLAYABLE:
            raise Invalid(f"deliveries in state {order.state} are not repeated", "state")
        lanes, endpoints = await self._log.lanes_and_endpoints(order)
        await self._endpoints.enable(endpoints)
        now = self._clock.now()
        count = await self._log.replay(order, now)
        for lane in lanes:
            self._dispatcher.look(lane, now)
        log.info("webhook.replayed", account=order.account, count=count)
        return DeliveriesReplayed(count=count)

    async def on_secret(self, question: GetWebhookSecret) -> WebhookSecret:
        """Return the account's newest signing secret, made now if there is none or a new one is wanted."""
        if question.rotate:
            return WebhookSecret(key=await self._secrets.rotate(question.account))
        return WebhookSecret(key=(await self._secrets.of(question.account))[0])

    async def on_verify(self, question: VerifyWebhook) -> WebhookVerified:
        """Say whether a receiver would accept this request, and why not."""
        secrets = await self._secrets.of(question.account)
        problems = problems_with(question.body.encode(), question.headers, secrets, question.key, self._clock.now())
        return WebhookVerified(valid=not problems, problems=tuple(problems))
