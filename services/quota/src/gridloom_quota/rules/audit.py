"""Verification: every token that was granted is reserved, settled or free, and what is settled is in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gridloom_contract.quota import Window
from gridloom_quota.record import Account, Booking, EndedGrant, OpenGrant
from gridloom_quota.rules.standing import rolled
from gridloom_quota.rules.windows import WINDOWS

Count = tuple[str, Window]
Counts = Mapping[Count, int]


class Tally(NamedTuple):
    """Reservations added up that were made from one grant and are all open, or all ended."""

    grant: str | None
    is_open: bool
    tokens: int
    from_grant: int


class Evidence(NamedTuple):
    """An account with its reservations, added up, and its ended grants, as of one moment."""

    account: Account
    tallies: tuple[Tally, ...]
    ended: tuple[EndedGrant, ...]


class Reading(NamedTuple):
    """What the accounts and the ledger said, the accounts asked before and after the ledger."""

    before: Counts
    ledger: Counts
    after: Counts


def tally_of(booking: Booking) -> Tally:
    """Return one reservation as a tally."""
    return Tally(booking.grant, booking.is_open, booking.tokens, booking.from_grant)


def differences_in(evidence: Evidence) -> Iterator[str]:
    """Yield a sentence for everything that does not add up within the quota service."""
    account = evidence.account
    if account.granted != account.reserved + account.settled + account.free:
        yield (
            f"account {account.id}: granted {account.granted} is not reserved {account.reserved}"
            f" + settled {account.settled} + free {account.free}"
        )
    booked = sum(tally.tokens for tally in evidence.tallies if tally.is_open)
    if account.reserved != booked:
        yield f"account {account.id}: reserved {account.reserved} is not the {booked} of its open reservations"
    grants: list[OpenGrant | EndedGrant] = [*account.grants, *evidence.ended]
    for grant in grants:
        yield from _differences_of(grant, evidence)


def _differences_of(grant: OpenGrant | EndedGrant, evidence: Evidence) -> Iterator[str]:
    """A grant's tokens are where its reservations are: still reserved, or settled (what was too much is free again)."""
    tallies = [tally for tally in evidence.tallies if tally.grant == grant.id]
    reserved = sum(tally.from_grant for tally in tallies if tally.is_open)
    settled = sum(tally.from_grant for tally in tallies if not tally.is_open)
    free = grant.free if isinstance(grant, OpenGrant) else 0
    if grant.granted != reserved + settled + free + grant.returned:
        yield (
            f"grant {grant.id} of account {evidence.account.id}: granted {grant.granted} is not reserved {reserved}"
            f" + settled {settled} + free {free} + returned {grant.returned}"
        )


def used_of(accounts: Sequence[Account], now: datetime) -> dict[Count, int]:
    """Return what the accounts say was used in each window that holds now."""
    return {
        (account.id, window): rolled(account, now).windows[window].used for account in accounts for window in WINDOWS
    }


def differences_from_ledger(first: Reading, last: Reading) -> Iterator[str]:
    """Yield a sentence for every count on which two readings show accounts and ledger to disagree.

    Both follow the same facts at their own pace and only grow, so they agree if each has reached by the last reading
    what the other had at the first.
    """
    for count, used in last.after.items():
        account, window = count
        booked = last.ledger.get(count, 0)
        if booked < first.before[count] or used < first.ledger.get(count, 0):
            yield f"account {account}: settled {used} in this {window}, the ledger has {booked}"
