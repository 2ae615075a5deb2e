"""What facts about jobs do to an account: tokens are reserved, settled with the real count, or released.

One attempt of a job has one booking. Its facts may be told twice and in any order; each changes it once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from gridloom_contract.events import JobAssigned, JobFinished, JobRequeued
from gridloom_contract.vocabulary import Usage
from gridloom_quota.record import Account, Booking
from gridloom_quota.rules.grants import find, put
from gridloom_quota.rules.plans import MOST_TOKENS_OF_A_JOB
from gridloom_quota.rules.standing import Context, rolled

Fact = JobAssigned | JobRequeued | JobFinished


def booking_of(fact: Fact) -> str:
    """Return the id of the booking that a fact is about: an attempt of a job."""
    return f"{fact.job}:{fact.attempt}"


def a_new_booking(fact: Fact) -> Booking:
    """Return the booking of an attempt that nobody has told of yet."""
    return Booking(id=booking_of(fact), account=fact.account, at=fact.at, version=0)


def applied(account: Account, booking: Booking, fact: Fact, context: Context) -> tuple[Account, Booking]:
    """Return the account and the booking after a fact; both unchanged if it was told before."""
    if isinstance(fact, JobAssigned):
        return _assigned(account, booking, fact)
    usage = fact.usage if isinstance(fact, JobFinished) else None
    account, booking = released(account, booking, context)
    return _settled(account, booking, usage, fact.at) if usage and _is_credible(usage) else (account, booking)


def _is_credible(usage: Usage) -> bool:
    return all(0 <= tokens <= MOST_TOKENS_OF_A_JOB for tokens in (usage.tokens_in, usage.tokens_out))


def released(account: Account, booking: Booking, context: Context) -> tuple[Account, Booking]:
    """Return both with what was reserved for the attempt free again. An attempt is released once."""
    if booking.is_ended:
        return account, booking
    if booking.is_assigned:
        account = replace(account, reserved=account.reserved - booking.tokens, granted=account.granted - booking.tokens)
    forget_at = context.now + timedelta(seconds=context.terms.history_seconds)
    return account, replace(booking, is_ended=True, is_open=False, forget_at=forget_at)


def _assigned(account: Account, booking: Booking, fact: JobAssigned) -> tuple[Account, Booking]:
    tokens = min(max(0, fact.reserved_tokens), MOST_TOKENS_OF_A_JOB)
    if booking.is_assigned or tokens == 0:
        return account, booking
    opened = find(account, fact.grant)
    from_grant = min(tokens, opened.free) if opened else 0
    if opened:
        account = put(account, replace(opened, free=opened.free - from_grant))
    booking = replace(
        booking,
        at=fact.at,
        is_assigned=True,
        is_open=not booking.is_ended,
        grant=fact.grant,
        tokens=tokens,
        from_grant=from_grant,
    )
    if booking.is_ended:  # its end was told first: what was taken from the grant is free at once
        return replace(account, granted=account.granted - from_grant), booking
    return _reserved(account, booking), booking


def _reserved(account: Account, booking: Booking) -> Account:
    """What the grant did not have (it closed meanwhile) is taken straight from the windows: nothing is lost."""
    direct = booking.tokens - booking.from_grant
    return replace(account, reserved=account.reserved + booking.tokens, granted=account.granted + direct)


def _settled(account: Account, booking: Booking, usage: Usage, at: datetime) -> tuple[Account, Booking]:
    """Count what the job really used, in the windows that hold its end."""
    if booking.settled is not None:
        return account, booking
    tokens = usage.tokens_in + usage.tokens_out
    account = rolled(account, at)
    windows = {
        window: replace(record, used=record.used + tokens) if at >= record.start else record
        for window, record in account.windows.items()
    }
    account = replace(account, windows=windows, settled=account.settled + tokens, granted=account.granted + tokens)
    return account, replace(booking, settled=tokens)
