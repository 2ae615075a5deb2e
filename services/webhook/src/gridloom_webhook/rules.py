"""What follows from an attempt, and when the next one is due. Pure: time and chance are arguments (OPS §4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gridloom_contract.webhooks import DeliveryState
from gridloom_webhook.record import Trouble

JITTER = 0.2
MOST_RETRY_AFTER_SECONDS = 86_400.0
GONE = 410
PROGRESS_SECONDS = 0.5
"""Intermediate events of one job are at least so far apart, from the answer of one to the next request."""

_BUSY = frozenset({429, 502, 503, 504})
_OVERWHELMED = frozenset({408, 425, 429})
_QUIET = timedelta(hours=30)
"""Failures further apart than this are not one run: it is the longest pause between two attempts, and some more."""


@dataclass(frozen=True)
class Terms:
    """How stubborn deliveries are: `schedule` has the pause before each attempt in seconds, `chance` is in 0 … 1."""

    schedule: tuple[float, ...]
    disable_after_seconds: float
    chance: Callable[[], float]


@dataclass(frozen=True)
class Answer:
    """How one request ended. `result` is 2xx, 3xx, 4xx, 5xx, timeout, dns, tls, connection or blocked."""

    result: str
    status: int | None = None
    response: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    duration_seconds: float = 0.0

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has it: only a 2xx says so."""
        return self.result == "2xx"

    @property
    def is_alive(self) -> bool:
        """Whether the receiver is up and reads what it gets, if only to turn it down: no reason to spare it."""
        return self.status is not None and self.status < 500 and self.status not in _OVERWHELMED

    @property
    def is_gone(self) -> bool:
        """Whether the receiver never wants to hear from us again."""
        return self.status == GONE


@dataclass(frozen=True)
class Verdict:
    """What becomes of the delivery: its state, and the seconds until the next attempt while it is pending."""

    state: DeliveryState
    after_seconds: float | None = None


def class_of(status: int) -> str:
    """Return the class of an HTTP status as metrics and the log show it."""
    return f"{status // 100}xx" if 200 <= status < 600 else "connection"


def pause_before(tries: int, schedule: Sequence[float], chance: float) -> float | None:
    """Return the seconds to wait before attempt `tries` (0 is the first), or None after the last one.

    `chance` in 0 … 1 spreads it by ±20 %, so that what failed together does not come back together.
    """
    if tries >= len(schedule):
        return None
    return schedule[tries] * (1 - JITTER + 2 * JITTER * chance)


def judge(answer: Answer, tries: int, schedule: Sequence[float], chance: float) -> Verdict:
    """Return what becomes of a delivery after its attempt number `tries` (1 is the first).

    The receiver may ask for more patience by Retry-After, at most a day, never for less than the schedule has.
    """
    if answer.is_delivered:
        return Verdict(DeliveryState.DELIVERED)
    pause = pause_before(tries, schedule, chance)
    if answer.is_gone or pause is None:
        return Verdict(DeliveryState.DEAD)
    asked = min(answer.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS)
    return Verdict(DeliveryState.PENDING, max(pause, asked))


def hold_seconds(answer: Answer) -> float:
    """Return how long the whole endpoint wants to be left alone: only a busy one that says so."""
    return answer.retry_after_seconds or 0.0 if answer.status in _BUSY else 0.0


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header (a number or an HTTP date), or None if it says nothing."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(min(int(value.strip()[:9]), int(MOST_RETRY_AFTER_SECONDS)))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def after_failure(before: Trouble | None, fresh: Trouble, *, is_gone: bool, disable_after_seconds: float) -> Trouble:
    """Return the endpoint's record after one more failure (`fresh` is that of this failure alone).

    A 410 disables it at once; otherwise failing for days without a success in between does. A failure long after the
    one before begins a new run: two bad days a week apart are not a bad week.
    """
    is_same_run = before is not None and fresh.last_failure_at - before.last_failure_at <= _QUIET
    since = before.failing_since if before and is_same_run else fresh.failing_since
    if before and before.disabled_at:
        return before
    found = replace(fresh, failing_since=since)
    if is_gone:
        return replace(found, disabled_at=fresh.last_failure_at, why="the receiver answered 410 Gone")
    failing = fresh.last_failure_at - since
    if failing.total_seconds() >= disable_after_seconds:
        why = f"nothing was accepted since {since:%Y-%m-%d %H:%M} UTC"
        return replace(found, disabled_at=fresh.last_failure_at, why=why)
    return found
