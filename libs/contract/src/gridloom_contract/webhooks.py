"""Webhooks: what is delivered where, the log of attempts, and their replay."""

from __future__ import annotations

from gridloom_contract.base import GrowingEnum, Instant, Message, Value


class WebhookOrder(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Where the events of one job go. `sealed_key` is the API key that submitted it, sealed for the webhook service
    (AES-256-GCM under the master key, the job's id as associated data); it is dropped after the last attempt.

    `events` are any of start, output, logs, completed. `format` is the dialect in which the body is rendered.
    `traceparent` is the submission's, sent along with each request.
    """

    url: str
    sealed_key: str
    events: tuple[str, ...] = ("completed",)
    format: str = "native"
    traceparent: str | None = None


class RenderJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.render.1"):
    """Webhook to gateway: the bytes of this job's GET answer in dialect `format`, right now."""

    job: str
    account: str
    format: str = "native"


class RenderedJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.rendered.1"):
    """Answer to `RenderJob`: exactly the body that GET would answer; one too large for the bus is an object, `ref`.

    The object never changes and stays at least as long as the job's output.
    """

    body: bytes = b""
    ref: str | None = None


class GetWebhookSecret(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.secret.get.1"):
    """Gateway to webhook:
    the account's signing secret, made on first use. With `rotate` a new one; both sign for a day.
    """

    account: str
    rotate: bool = False


class WebhookSecret(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.secret.1"):
    """Answer to `GetWebhookSecret`: `whsec_` and standard base64."""

    key: str


class DeliveryState(GrowingEnum):
    """How far a delivery is.

    `dead` ones wait for a replay; `dropped` were intermediate events overtaken by a later one.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    DROPPED = "dropped"
    UNKNOWN = "unknown"


class Attempt(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One try to deliver.

    `result` is the class of the answer: 2xx, 3xx, 4xx, 5xx, timeout, dns, tls, connection or blocked.
    """

    at: Instant
    result: str
    status: int | None = None
    duration_ms: int = 0
    response: str | None = None
    error: str | None = None


class Delivery(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One event for one URL. `delivery` is also its `webhook-id`, the same on every attempt and replay."""

    delivery: str
    job: str
    event: str
    url: str
    state: DeliveryState
    created_at: Instant
    attempts: tuple[Attempt, ...] = ()
    next_attempt_at: Instant | None = None
    delivered_at: Instant | None = None


class ListDeliveries(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.deliveries.list.1"):
    """Gateway to webhook: an account's deliveries, newest first, or the one that is named. `page` is 1-based."""

    account: str
    delivery: str | None = None
    job: str | None = None
    state: DeliveryState | None = None
    page: int = 1
    per_page: int = 25


class DeliveryPage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.deliveries.page.1"):
    """Answer to `ListDeliveries`."""

    deliveries: tuple[Delivery, ...]
    total: int


class ReplayDeliveries(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.deliveries.replay.1"):
    """Gateway to webhook:
    deliver again: these, or all of `state` created from `since` to `until`. Same id, same bytes.
    """

    account: str
    deliveries: tuple[str, ...] = ()
    since: Instant | None = None
    until: Instant | None = None
    state: DeliveryState | None = None


class DeliveriesReplayed(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.deliveries.replayed.1"):
    """Answer to `ReplayDeliveries`."""

    count: int


class VerifyWebhook(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.verify.1"):
    """Gateway to webhook:
    would these headers and this body pass for the account? `key` is the API key for X-Vibe-Signature.
    """

    account: str
    body: str
    headers: dict[str, str]
    key: str | None = None


class WebhookVerified(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webhook.verified.1"):
    """Answer to `VerifyWebhook`: what holds, and a sentence for each thing that does not."""

    valid: bool
    problems: tuple[str, ...] = ()
