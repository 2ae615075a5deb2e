"""One account while a batch of commands is carried out on it: read once, changed in memory, stored as one write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from gridloom_contract.quota import Plan
from gridloom_quota.record import Account, Booking
from gridloom_quota.rules import facts, grants, tending
from gridloom_quota.rules.standing import Context, excess, rolled


@dataclass(frozen=True)
class Take:
    """Hand out a budget. Answered by a `Grant`."""

    account: str
    request: grants.Request


@dataclass(frozen=True)
class GiveBack:
    """End a grant of which `spent` was reserved. Answered by whether it was open."""

    account: str
    grant: str
    holder: str
    spent: int


@dataclass(frozen=True)
class Note:
    """Apply a fact about a job. Answered by how many tokens further past its limits the account is."""

    fact: facts.Fact

    @property
    def account(self) -> str:
        """Whose job it is."""
        return self.fact.account


@dataclass(frozen=True)
class Lapse:
    """Release a reservation whose end was never heard of. Answered by whether it was open."""

    account: str
    booking: Booking


@dataclass(frozen=True)
class Join:
    """Put the account on a plan. Answered by the account."""

    account: str
    plan: Plan


@dataclass(frozen=True)
class Tend:
    """Do what is due. Answered by `News`."""

    account: str
    may_close: bool


Command = Take | GiveBack | Note | Lapse | Join | Tend


def bookings_in(command: Command) -> tuple[str, ...]:
    """Return the bookings that a command needs to know."""
    if isinstance(command, Note):
        return (facts.booking_of(command.fact),)
    return (command.booking.id,) if isinstance(command, Lapse) else ()


class Sheet:
    """Carries commands out on one account. `bookings` has those of them that are stored, by id."""

    def __init__(self, stored: Account, bookings: dict[str, Booking], context: Context) -> None:
        self.stored = stored
        self._context = context
        # What an interrupted write left in the journal is newer than the copies of it.
        self._bookings = bookings | {booking.id: booking for booking in stored.journal}
        self._changed: dict[str, Booking] = {}
        self._account = rolled(replace(stored, journal=(), ended_grants=()), context.now)
        self._untouched = self._account

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to store."""
        return bool(self._changed) or self._settled() != self._untouched

    def account(self) -> Account:
        """Return the account as it is to be stored, one version on."""
        version = self.stored.version + 1
        journal = tuple(replace(booking, version=version) for booking in self._changed.values())
        return replace(self._settled(), version=version, journal=journal)

    def obey(self, command: Command) -> Any:
        """Carry out one command and return its answer."""
        match command:
            case Take():
                self._account, grant = grants.take(self._account, command.request, self._context)
                return grant
            case GiveBack():
                self._account, was_open = grants.give_back(
                    self._account, command.grant, command.holder, command.spent, self._context
                )
                return was_open
            case Tend():
                self._account, news = tending.tended(self._account, self._context, may_close=command.may_close)
                return news
            case Join():
                return self._join(command.plan)
            case Note():
                return self._note(command.fact)
            case Lapse():
                return self._lapse(command.booking)

    def _settled(self) -> Account:
        return tending.settled_down(self._account, self._context)

    def _join(self, plan: Plan) -> Account:
        self._context = self._context._replace(plan=plan)
        self._account = tending.on_plan(self._account, plan.name, self._context)
        return self._account

    def _note(self, fact: facts.Fact) -> int:
        booking = self._bookings.get(facts.booking_of(fact)) or facts.a_new_booking(fact)
        before = excess(self._account, self._context.plan)
        self._account, after = facts.applied(self._account, booking, fact, self._context)
        self._keep(booking, after)
        return max(0, excess(self._account, self._context.plan) - before)

    def _lapse(self, seen: Booking) -> bool:
        booking = self._bookings.get(seen.id, seen)
        self._account, after = facts.released(self._account, booking, self._context)
        self._keep(booking, after)
        return after is not booking

    def _keep(self, before: Booking, after: Booking) -> None:
        if after is not before:
            self._bookings[after.id] = self._changed[after.id] = after
