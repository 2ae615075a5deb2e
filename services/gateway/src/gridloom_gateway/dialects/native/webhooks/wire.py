"""Webhooks as the native API spells them. Fields that do not apply are left out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gridloom_gateway.dialects.native.wire import JobId, Moment

PER_PAGE = 25
MOST_PER_PAGE = 100
MOST_NAMED = 1000
_MOST_BODY_CHARACTERS = 131_072
"""Even if each of them is written with six bytes, the question fits the bus."""

State = Literal["pending", "delivered", "dead", "dropped"]
DeliveryId = Annotated[str, Meta(max_length=64, examples=["evt_019bc0fd89d07d1e9f3a52c8b07e4d16_4"])]
Instant = Annotated[datetime, Meta(tz=True, examples=["2026-01-15T10:30:00Z"])]


class DeliveryQuery(Struct, frozen=True, kw_only=True):
    """Filters of the log."""

    job_id: JobId | None = None
    state: State | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=MOST_PER_PAGE)] = PER_PAGE


class Attempt(Struct, frozen=True, kw_only=True):
    """One request. `result` is the class of the answer (2xx, 3xx, 4xx, 5xx), or timeout, dns, tls, connection, blocked.

    `response` is the beginning of the answer's body.
    """

    at: Moment
    result: str
    duration_ms: int
    status: int | UnsetType = UNSET
    response: str | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one URL. `id` is its `webhook-id`, the same on every attempt; a `dead` one waits for a replay."""

    id: DeliveryId
    job_id: JobId
    event: str
    url: str
    state: State
    created_at: Moment
    attempts: list[Attempt]
    next_attempt_at: Moment | UnsetType = UNSET
    delivered_at: Moment | UnsetType = UNSET


class DeliveryList(Struct, frozen=True, kw_only=True):
    """One page of the log, newest first. A page beyond the end is empty."""

    deliveries: list[Delivery]
    page: int
    per_page: int
    total: int
    total_pages: int


class Replay(Struct, frozen=True, kw_only=True):
    """What to deliver again: these, or all created from `since` until before `until`; only those in `state`, if set."""

    deliveries: Annotated[list[DeliveryId], Meta(max_length=MOST_NAMED)] = []
    since: Instant | None = None
    until: Instant | None = None
    state: Literal["pending", "delivered", "dead"] | None = None


class Replayed(Struct, frozen=True, kw_only=True):
    """How many are delivered again, each with the id and the bytes it had."""

    replayed: int


class Secret(Struct, frozen=True, kw_only=True):
    """What the account's webhooks are signed with (Standard Webhooks): `whsec_` and base64."""

    key: str


class Replaced(Struct, frozen=True, kw_only=True):
    """There is a new secret. It is told by GET alone: an answer to a POST may be kept for whoever repeats it."""

    replaced: Literal[True] = True


class Verify(Struct, frozen=True, kw_only=True):
    """A request as a receiver got it: the body as text, byte for byte, and at least the headers that sign it."""

    body: Annotated[str, Meta(max_length=_MOST_BODY_CHARACTERS)]
    headers: Annotated[dict[str, Annotated[str, Meta(max_length=4096)]], Meta(max_length=100)]


class Verified(Struct, frozen=True, kw_only=True):
    """Whether a receiver should believe the request, and a sentence for each reason why not."""

    valid: bool
    problems: list[str]
