"""Grants: tokens move from an account's headroom into a scheduler's hands, and what is not spent comes back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from msgspec.structs import replace

from gridloom_contract.quota import Grant
from gridloom_quota.record import Account, EndedGrant, OpenGrant
from gridloom_quota.rules.plans import MOST_TOKENS, limits_of
from gridloom_quota.rules.standing import Context, held_until, room, spent_until

_SHARE = 8
"""A grant beyond what is needed takes at most this part of the headroom, so that others find some too."""


_REMEMBERED = timedelta(hours=6)
"""How long an ended grant can be verified by itself; the sums of its account always can."""


class Request(NamedTuple):
    """A scheduler's wish for a budget, with the id that the grant will have."""

    holder: str
    tokens: int
    grant: str


def take(account: Account, request: Request, context: Context) -> tuple[Account, Grant]:
    """Return the account and the grant: a budget, `unlimited`, or no tokens and the time when to ask again."""
    plan, now, terms = context
    usual = Grant(account=account.id, max_parallel=plan.max_parallel_jobs)
    if not limits_of(plan):
        return account, replace(usual, unlimited=True, expires_at=now + timedelta(seconds=terms.unlimited_seconds))
    needed = min(max(1, request.tokens), MOST_TOKENS)
    headroom = min(room(account, plan).values())
    if headroom < needed:
        return _refused(account, needed, usual, context)
    tokens = max(needed, min(headroom // _SHARE, terms.grant_tokens))
    expires_at = now + timedelta(seconds=terms.grant_seconds)
    opened = OpenGrant(
        id=request.grant,
        holder=request.holder,
        granted=tokens,
        free=tokens,
        expires_at=expires_at,
        closes_at=expires_at + timedelta(seconds=terms.grace_seconds),
    )
    account = replace(account, grants=(*account.grants, opened), granted=account.granted + tokens)
    return account, replace(usual, grant=opened.id, tokens=tokens, expires_at=expires_at)


def _refused(account: Account, needed: int, usual: Grant, context: Context) -> tuple[Account, Grant]:
    """Remember the smallest need, so that schedulers hear of it when it fits again."""
    until = held_until(account, context.plan, needed)
    smallest = needed if account.refused is None or account.told else min(account.refused, needed)
    wake_at = held_until(account, context.plan, smallest)
    account = replace(account, refused=smallest, told=0, wake_at=wake_at)
    return account, replace(usual, held_until=until, spent_until=spent_until(account, context.plan, needed))


def give_back(account: Account, grant: str, holder: str, spent: int, context: Context) -> tuple[Account, bool]:
    """Return the account with the unspent part of a grant back in its headroom, and whether there was such a grant.

    `spent` is what the holder reserved from it. What no fact has told of yet stays with the grant until facts do: they
    are part of the jobs' documents, so they come.
    """
    opened = find(account, grant)
    if opened is None or opened.holder != holder:
        return account, False
    told = opened.granted - opened.returned - opened.free
    in_transit = min(opened.free, max(0, spent - told))
    given_back = opened.free - in_transit
    changed = replace(
        opened,
        free=in_transit,
        returned=opened.returned + given_back,
        closes_at=context.now + timedelta(seconds=context.terms.transit_seconds),
    )
    return replace(put(account, changed), granted=account.granted - given_back), True


def close_overdue(account: Account, context: Context) -> Account:
    """Return the account without the grants whose time is over: what they still had free is headroom again."""
    return _close(account, [grant for grant in account.grants if grant.closes_at <= context.now], context)


def close_emptied(account: Account, context: Context) -> Account:
    """Return the account without the grants of which every token is reserved or back."""
    return _close(account, [grant for grant in account.grants if grant.free == 0], context)


def find(account: Account, grant: str | None) -> OpenGrant | None:
    """Return the open grant of that id."""
    return next((opened for opened in account.grants if opened.id == grant), None)


def put(account: Account, changed: OpenGrant) -> Account:
    """Return the account with one of its grants changed."""
    return replace(account, grants=tuple(changed if opened.id == changed.id else opened for opened in account.grants))


def _close(account: Account, over: Sequence[OpenGrant], context: Context) -> Account:
    if not over:
        return account
    forget_at = context.now + _REMEMBERED
    ended = tuple(
        EndedGrant(
            id=grant.id,
            account=account.id,
            holder=grant.holder,
            granted=grant.granted,
            returned=grant.returned + grant.free,
            forget_at=forget_at,
        )
        for grant in over
    )
    return replace(
        account,
        grants=tuple(grant for grant in account.grants if grant not in over),
        granted=account.granted - sum(grant.free for grant in over),
        ended_grants=(*account.ended_grants, *ended),
    )
