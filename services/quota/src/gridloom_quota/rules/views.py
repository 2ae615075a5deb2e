"""An account as its owner sees it."""

from __future__ import annotations

from datetime import datetime

from gridloom_contract.quota import AccountQuota, Plan, WindowUse
from gridloom_quota.record import Account
from gridloom_quota.rules.plans import limits_of
from gridloom_quota.rules.standing import held_until, rolled, room
from gridloom_quota.rules.windows import WINDOWS, end_of


def quota_of(account: Account, plan: Plan, now: datetime) -> AccountQuota:
    """Return an account's plan and windows at `now`.

    `headroom` is what may still be granted: what schedulers hold for jobs to come is neither reserved nor headroom.
    """
    account = rolled(account, now)
    limits, left = limits_of(plan), room(account, plan)
    windows = tuple(
        WindowUse(
            window=window,
            started_at=account.windows[window].start,
            resets_at=end_of(window, account.windows[window].start),
            limit=limits.get(window),
            used=account.windows[window].used,
            reserved=account.reserved,
            headroom=max(0, left[window]) if window in left else None,
        )
        for window in WINDOWS
    )
    until = held_until(account, plan, account.refused or 1)
    return AccountQuota(account=account.id, plan=plan, windows=windows, held_until=until)
