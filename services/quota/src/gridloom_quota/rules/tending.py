"""Looking after an account: grants that are over close, and schedulers hear when what was refused fits again.

A release is told three times within a few seconds, since whom it concerns may miss a message; so is a new plan, twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from gridloom_quota.record import Account
from gridloom_quota.rules.grants import close_emptied, close_overdue
from gridloom_quota.rules.standing import Context, fits, held_until

_TIMES_TOLD = 3
_AGAIN = timedelta(seconds=2)
_ANNOUNCED_AGAIN = timedelta(seconds=1)


class News(NamedTuple):
    """What others should hear of an account."""

    is_released: bool
    is_changed: bool


def tended(account: Account, context: Context, *, may_close: bool) -> tuple[Account, News]:
    """Return the account with everything done that is due, and what others should hear.

    With `may_close` False grants that are over get another grace: facts may wait that were told while nobody listened.
    """
    account = close_overdue(account, context) if may_close else _spared(account, context)
    is_changed = account.announce_at is not None and account.announce_at <= context.now
    if is_changed:
        account = replace(account, announce_at=None)
    if account.refused is None or account.wake_at is None or account.wake_at > context.now:
        return account, News(is_released=False, is_changed=is_changed)
    account, is_released = _told(account, account.refused, context)
    return account, News(is_released, is_changed)


def _told(account: Account, refused: int, context: Context) -> tuple[Account, bool]:
    if not fits(account, context.plan, refused):
        return replace(account, told=0, wake_at=held_until(account, context.plan, refused)), False
    if account.told + 1 == _TIMES_TOLD:
        return replace(account, refused=None, told=0, wake_at=None), True
    return replace(account, told=account.told + 1, wake_at=context.now + _AGAIN), True


def _spared(account: Account, context: Context) -> Account:
    closes_at = context.now + timedelta(seconds=context.terms.grace_seconds)
    spared = tuple(
        replace(grant, closes_at=closes_at) if grant.closes_at <= context.now else grant for grant in account.grants
    )
    return replace(account, grants=spared)


def on_plan(account: Account, plan: str, context: Context) -> Account:
    """Return the account on another plan."""
    return replace(account, plan=plan, announce_at=context.now + _ANNOUNCED_AGAIN)


def settled_down(account: Account, context: Context) -> Account:
    """Return the account as it is stored after a change: empty grants closed, woken if what was refused fits now."""
    account = close_emptied(account, context)
    if account.refused is not None and account.told == 0 and fits(account, context.plan, account.refused):
        account = replace(account, wake_at=context.now)
    return replace(account, due_at=_due_at(account))


def _due_at(account: Account) -> datetime | None:
    """Return when somebody must look at the account: a grant closes, somebody must be told something."""
    times = [account.wake_at, account.announce_at, *(grant.closes_at for grant in account.grants)]
    return min((time for time in times if time is not None), default=None)
