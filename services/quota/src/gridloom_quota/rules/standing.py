"""How an account stands: what it may still be granted, until when it must wait, and when to look at it again."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from gridloom_contract.quota import Plan, Window
from gridloom_quota.record import Account, WindowRecord
from gridloom_quota.rules.plans import limits_of
from gridloom_quota.rules.windows import WINDOWS, end_of, start_of


class Terms(NamedTuple):
    """For how long things hold, in seconds, and how large a grant may be beyond what is needed."""

    grant_tokens: int
    grant_seconds: float
    grace_seconds: float
    unlimited_seconds: float
    transit_seconds: float
    history_seconds: float


class Context(NamedTuple):
    """What a decision about an account takes beside it."""

    plan: Plan
    now: datetime
    terms: Terms


def rolled(account: Account, now: datetime) -> Account:
    """Return the account with every window that has turned begun anew. A window never goes back."""
    windows = dict(account.windows)
    for window in WINDOWS:
        start = start_of(window, now)
        if window not in windows or windows[window].start < start:
            windows[window] = WindowRecord(start=start)
    return account if windows == account.windows else replace(account, windows=windows)


def room(account: Account, plan: Plan) -> dict[Window, int]:
    """Return what is left of each limited window; less than nothing if the limit was passed."""
    taken = account.reserved + account.free
    return {window: limit - account.windows[window].used - taken for window, limit in limits_of(plan).items()}


def fits(account: Account, plan: Plan, tokens: int) -> bool:
    """Say whether so many tokens may be granted now."""
    return all(left >= tokens for left in room(account, plan).values())


def held_until(account: Account, plan: Plan, tokens: int) -> datetime | None:
    """Return the earliest time at which every window too short for `tokens` has turned; None if none is."""
    short = [window for window, left in room(account, plan).items() if left < tokens]
    return max((end_of(window, account.windows[window].start) for window in short), default=None)


def spent_until(account: Account, plan: Plan, tokens: int) -> datetime | None:
    """Return the earliest time at which every window has turned in which too much is used; None if there is none."""
    used = {window: account.windows[window].used for window in limits_of(plan)}
    short = [window for window, limit in limits_of(plan).items() if limit - used[window] < tokens]
    return max((end_of(window, account.windows[window].start) for window in short), default=None)


def excess(account: Account, plan: Plan) -> int:
    """Return by how many tokens the account is past its limits."""
    return max(0, -min(room(account, plan).values(), default=0))
