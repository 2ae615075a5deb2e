"""Between the native API's words about webhooks and the core's. Pure: tables and plain mappings."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType

from gridloom_contract import webhooks
from gridloom_contract.base import Instant
from gridloom_contract.webhooks import DeliveryState
from gridloom_domain import ids
from gridloom_domain.errors import Invalid
from gridloom_gateway.dialects.native.translate import moment
from gridloom_gateway.dialects.native.webhooks import wire
from gridloom_gateway.webhooks import no_such_delivery

T = TypeVar("T")

STATE: Final[dict[DeliveryState, wire.State]] = {
    DeliveryState.PENDING: "pending",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.DEAD: "dead",
    DeliveryState.DROPPED: "dropped",
    DeliveryState.UNKNOWN: "pending",
}
SIGNED_BY: Final = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature", "x-vibe-signature"})
"""The headers that tell whether a request is authentic; the others are not looked at."""

_DELIVERY = re.compile(r"evt_[0-9a-f]{32}_\d{1,9}", re.ASCII)


def to_delivery_id(text: str) -> str:
    """Return the id. Raises the same `NotFound` as for a delivery that does not exist."""
    if not _DELIVERY.fullmatch(text):
        raise no_such_delivery()
    return text


def to_listing(query: wire.DeliveryQuery, account: str) -> webhooks.ListDeliveries:
    """Return the question for one page of the log. Raises `Invalid` for what is no job's id."""
    return webhooks.ListDeliveries(
        account=account,
        job=_job_in(query.job_id) if query.job_id is not None else None,
        state=_state_in(query.state),
        page=query.page,
        per_page=query.per_page,
    )


def to_replay(body: wire.Replay, account: str) -> webhooks.ReplayDeliveries:
    """Return the order to deliver again."""
    return webhooks.ReplayDeliveries(
        account=account,
        deliveries=tuple(body.deliveries),
        since=body.since,
        until=body.until,
        state=_state_in(body.state),
    )


def to_verification(body: wire.Verify, account: str, key: str) -> webhooks.VerifyWebhook:
    """Return the question whether a request is authentic; `key` is the API key for `X-Vibe-Signature`."""
    headers = {name.lower(): value for name, value in body.headers.items() if name.lower() in SIGNED_BY}
    return webhooks.VerifyWebhook(account=account, body=body.body, headers=headers, key=key)


def from_delivery(delivery: webhooks.Delivery) -> wire.Delivery:
    """Return a delivery as its owner sees it."""
    return wire.Delivery(
        id=delivery.delivery,
        job_id=ids.as_uuid(delivery.job),
        event=delivery.event,
        url=delivery.url,
        state=STATE[delivery.state],
        created_at=moment(delivery.created_at),
        attempts=[_from_attempt(attempt) for attempt in delivery.attempts],
        next_attempt_at=_moment_if_set(delivery.next_attempt_at),
        delivered_at=_moment_if_set(delivery.delivered_at),
    )


def from_page(page: webhooks.DeliveryPage, query: wire.DeliveryQuery) -> wire.DeliveryList:
    """Return one page of the log."""
    return wire.DeliveryList(
        deliveries=[from_delivery(delivery) for delivery in page.deliveries],
        page=query.page,
        per_page=query.per_page,
        total=page.total,
        total_pages=-(-page.total // query.per_page),
    )


def from_verification(verified: webhooks.WebhookVerified) -> wire.Verified:
    """Return the verdict on a request."""
    return wire.Verified(valid=verified.valid, problems=list(verified.problems))


def _from_attempt(attempt: webhooks.Attempt) -> wire.Attempt:
    return wire.Attempt(
        at=moment(attempt.at),
        result=attempt.result,
        duration_ms=attempt.duration_ms,
        status=_if_set(attempt.status),
        response=_if_set(attempt.response),
        error=_if_set(attempt.error),
    )


def _job_in(text: str) -> str:
    try:
        return ids.from_uuid(text)
    except ValueError:
        raise Invalid(f"job_id: {text[:64]!r} is no job's id", "job_id") from None


def _state_in(word: str | None) -> DeliveryState | None:
    return DeliveryState(word) if word is not None else None


def _moment_if_set(at: Instant | None) -> str | UnsetType:
    return UNSET if at is None else moment(at)


def _if_set(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
