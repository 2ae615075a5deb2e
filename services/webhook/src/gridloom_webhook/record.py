"""What the webhook service remembers: subscriptions, deliveries, and endpoints that are in trouble."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from urllib.parse import urlsplit

from gridloom_contract.webhooks import Attempt, DeliveryState

COMPLETED = "completed"
START = "start"
INTERMEDIATE = frozenset({START, "output", "logs"})
"""Events of a job under way: best effort, the latest state wins."""


@dataclass(frozen=True)
class Subscription:
    """Where the events of one job go. `api_key` is sealed for the job, and gone once its last event is frozen."""

    job: str
    account: str
    url: str
    events: tuple[str, ...]
    format: str
    sealed_key: str | None
    kid: str | None
    created_at: datetime
    traceparent: str | None = None
    ended_seq: int = 0
    """The fact that ended it (so far), and the one by which it ran again after that."""
    reopened_seq: int = 0

    def awaits_its_retry(self, seq: int) -> bool:
        """Whether fact `seq` ends a second run of which it has not been told that it began."""
        return self.reopened_seq < self.ended_seq < seq


@dataclass(frozen=True)
class Delivery:
    """One event for one URL. `tries` counts those since it was last (re)started, `sent` all of them.

    `lease` is the token of whoever is sending it; while it is leased, `next_at` is when the lease ends.
    """

    id: str
    job: str
    account: str
    event: str
    url: str
    body: bytes
    occurred_at: datetime
    created_at: datetime
    next_at: datetime | None
    state: DeliveryState = DeliveryState.PENDING
    lease: str | None = None
    tries: int = 0
    sent: int = 0
    vibe: str | None = None
    kid: str | None = None
    traceparent: str | None = None
    ref: str | None = None
    """The object that is its body, if that is too large for the record."""

    @property
    def lane(self) -> str:
        """The queue it waits in."""
        return lane_of(self.account, self.url)

    @property
    def endpoint(self) -> str:
        """What is disabled when it fails for days."""
        return endpoint_of(self.account, self.url)


@dataclass(frozen=True)
class Trouble:
    """An endpoint that fails now, or is disabled. An endpoint whose last delivery arrived has no such record."""

    endpoint: str
    account: str
    failing_since: datetime
    last_failure_at: datetime
    disabled_at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt: the delivery's next state, and when it is tried again if it is still pending."""

    delivery: Delivery
    attempt: Attempt
    state: DeliveryState
    next_at: datetime | None = None


class Leave(Enum):
    """Whether an intermediate event may be sent."""

    GIVEN = "given"
    LATER = "later"
    """One was sent a moment ago."""
    NEVER = "never"
    """The job has ended."""


@dataclass(frozen=True)
class Claim:
    """What was won of a lane, and when the first of the others is due (None: there are no others)."""

    won: tuple[Delivery, ...]
    next_at: datetime | None


@dataclass(frozen=True)
class Closing:
    """The last event of a job (so far) is frozen: fact `seq`, at `at`."""

    job: str
    seq: int
    at: datetime


@dataclass(frozen=True)
class SealedSecret:
    """One secret. The newest has no `until`; the others sign until then."""

    sealed: str
    until: datetime | None = None


def event_id(job: str, seq: int) -> str:
    """Return the id of an event, which is its `webhook-id`: the same on every attempt and replay."""
    return f"evt_{job}_{seq}"


def lane_of(account: str, url: str) -> str:
    """Return account and origin (scheme, host, port): what shares a concurrency cap and a circuit breaker."""
    parts = urlsplit(url)
    return f"{account} {parts.scheme}://{parts.netloc.lower()}"


def account_of(lane: str) -> str:
    """Return the account of a lane."""
    return lane.partition(" ")[0]


def endpoint_of(account: str, url: str) -> str:
    """Return account, origin and path: what is disabled as one."""
    return lane_of(account, url) + (urlsplit(url).path or "/")
