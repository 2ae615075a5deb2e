"""What is left of an account's quota, window by window, as its owner may be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gridloom_contract.quota import AccountQuota, Window, WindowUse
from gridloom_gateway.plans import Plans


@dataclass(frozen=True)
class WindowHeadroom:
    """One calendar window in UTC. `used` tokens are settled, `reserved` belong to jobs in hand.

    `limit` and `remaining` (what is neither used nor reserved) are None in a window without limit.
    """

    window: Window
    used: int
    reserved: int
    limit: int | None
    remaining: int | None
    started_at: datetime
    resets_at: datetime


@dataclass(frozen=True)
class Headroom:
    """How an account stands. `held_until` is when its next job starts if it is over quota; None = it is not."""

    plan: str
    windows: tuple[WindowHeadroom, ...]
    held_until: datetime | None


async def headroom_of(plans: Plans, account: str) -> Headroom:
    """Return how the account stands now: day, week and month. Raises `Unavailable` without the quota service."""
    return to_headroom(await plans.quota(account))


def to_headroom(quota: AccountQuota) -> Headroom:
    """Return the owner's view of what the quota service says."""
    windows = tuple(_window(use) for use in quota.windows)
    return Headroom(plan=quota.plan.name, windows=windows, held_until=quota.held_until)


def _window(use: WindowUse) -> WindowHeadroom:
    return WindowHeadroom(
        window=use.window,
        used=use.used,
        reserved=use.reserved,
        limit=use.limit,
        remaining=None if use.limit is None else max(0, use.limit - use.used - use.reserved),
        started_at=use.started_at,
        resets_at=use.resets_at,
    )
