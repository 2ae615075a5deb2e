"""One account under the real rules, its documents in memory, and schedulers with real budgets around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from msgspec.structs import replace

from gridloom_contract.events import JobAssigned, JobFinished, JobRequeued
from gridloom_contract.quota import Grant, Plan
from gridloom_contract.vocabulary import State, Usage
from gridloom_domain.budgets import Budgets, Reservation
from gridloom_quota.record import Account, Booking, EndedGrant, a_new_account
from gridloom_quota.rules.audit import Evidence, differences_in, tally_of
from gridloom_quota.rules.facts import Fact
from gridloom_quota.rules.grants import Request
from gridloom_quota.rules.sheet import Command, GiveBack, Note, Sheet, Take, Tend, bookings_in
from gridloom_quota.rules.standing import Context, Terms

START = datetime(2026, 3, 5, 13, 30, tzinfo=UTC)
TERMS = Terms(
    grant_tokens=400,
    grant_seconds=30.0,
    grace_seconds=15.0,
    unlimited_seconds=10.0,
    transit_seconds=3600.0,
    history_seconds=86_400.0,
)


class Books:
    """The documents of one account. With `is_crashing` a change is stored, and its copies are not."""

    def __init__(self, plan: Plan, now: datetime = START) -> None:
        self.plan = plan
        self.now = now
        self.account: Account = a_new_account("acme")
        self.copies: dict[str, Booking] = {}
        self.ended: dict[str, EndedGrant] = {}
        self.is_crashing = False

    @property
    def context(self) -> Context:
        return Context(self.plan, self.now, TERMS)

    def obey(self, *commands: Command) -> list[Any]:
        """Carry out commands as one write, in the order in which `books.Books` does."""
        wanted = {booking for command in commands for booking in bookings_in(command)}
        found = {name: self.copies[name] for name in wanted & self.copies.keys()}
        sheet = Sheet(self.account, found, self.context)
        answers = [sheet.obey(command) for command in commands]
        if sheet.is_changed:
            self._copy(self.account)
            self.account = sheet.account()
            if not self.is_crashing:
                self._copy(self.account)
        return answers

    def take(self, tokens: int, holder: str = "s1", grant: str = "g1") -> Grant:
        """Take one grant."""
        answer: Grant = self.obey(Take("acme", Request(holder, tokens, grant)))[0]
        return answer

    def note(self, *facts: Fact) -> None:
        """Hear facts."""
        self.obey(*(Note(fact) for fact in facts))

    def tend(self) -> Any:
        """Look after the account."""
        return self.obey(Tend("acme", may_close=True))[0]

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, looking after the account whenever it is due."""
        until = self.now + timedelta(seconds=seconds)
        while self.account.due_at is not None and self.account.due_at <= until:
            self.now = max(self.now, self.account.due_at)
            self.tend()
        self.now = until

    def bookings(self) -> dict[str, Booking]:
        """Every reservation as a reader sees it: the journal over the copies."""
        return self.copies | {booking.id: booking for booking in self.account.journal}

    def differences(self) -> list[str]:
        """What a verification finds."""
        ended = self.ended | {grant.id: grant for grant in self.account.ended_grants}
        tallies = tuple(map(tally_of, self.bookings().values()))
        return list(differences_in(Evidence(self.account, tallies, tuple(ended.values()))))

    def _copy(self, account: Account) -> None:
        for booking in account.journal:
            if booking.id not in self.copies or self.copies[booking.id].version < booking.version:
                self.copies[booking.id] = booking
        self.ended |= {grant.id: grant for grant in account.ended_grants}


@dataclass
class RunningJob:
    """A job of the account. Facts are made once and may be told many times."""

    name: str
    estimate: int
    attempt: int = 0
    seq: int = 1

    def assigned(self, grant: str | None, tokens: int, at: datetime) -> JobAssigned:
        self.attempt += 1
        common = self._common(at)
        return JobAssigned(**common, worker="w", served_model="m", why="", grant=grant, reserved_tokens=tokens)

    def requeued(self, at: datetime) -> JobRequeued:
        return JobRequeued(**self._common(at), reason="lease_lost")

    def finished(self, tokens: int | None, at: datetime) -> JobFinished:
        usage = Usage(tokens_in=0, tokens_out=tokens) if tokens is not None else None
        state = State.CANCELED if tokens is None else State.SUCCEEDED
        return JobFinished(**self._common(at), state=state, key="k", model="m", dialect="native", usage=usage)

    def _common(self, at: datetime) -> dict[str, Any]:
        self.seq += 1
        return {
            "job": self.name,
            "account": "acme",
            "seq": self.seq,
            "at": at,
            "id": f"{self.name}-{self.seq}",
            "attempt": self.attempt,
        }


@dataclass
class Replica:
    """A scheduler: real budgets, over the books."""

    books: Books
    name: str
    numbers: count[int]
    budgets: Budgets = field(default_factory=Budgets)

    def reserve(self, tokens: int) -> Reservation | None:
        """Reserve for a job, taking a grant if that is what it needs."""
        verdict = self.budgets.reserve("acme", tokens, self.books.now)
        if not isinstance(verdict, Reservation):
            self.take()
            verdict = self.budgets.reserve("acme", tokens, self.books.now)
        return verdict if isinstance(verdict, Reservation) else None

    def take(self, *, is_answer_lost: bool = False) -> None:
        """Ask for what is wanted."""
        requests = self.budgets.wanted()
        grants = [
            self.books.take(request.tokens, self.name, f"{self.name}-{next(self.numbers)}") for request in requests
        ]
        if is_answer_lost:
            self.budgets.not_answered(requests)
        else:
            self.budgets.take(grants, self.books.now)

    def give_back(self) -> None:
        """Return what is over."""
        spent = self.budgets.to_return(self.books.now)
        self.books.obey(*(GiveBack("acme", each.grant, self.name, each.tokens) for each in spent))


def window_used(books: Books, endings: Iterable[tuple[datetime, int]]) -> dict[str, int]:
    """What should stand as used in each window of the account, given when jobs ended and what they used."""
    endings = list(endings)
    return {
        str(window): sum(tokens for at, tokens in endings if at >= record.start)
        for window, record in books.account.windows.items()
    }


def with_windows(account: Account, **changes: Any) -> Account:
    """The account with some fields changed."""
    return replace(account, **changes)
