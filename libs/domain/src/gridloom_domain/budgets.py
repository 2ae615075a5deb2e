"""Budgets: from which of its grants a scheduler replica reserves a job's tokens, without asking anybody per job.

How a scheduler uses it, in this order. Everything is in memory; only the two requests go over the bus.

1. Before it claims a job: `budgets.reserve(account, estimates.estimate(…), now)`.
   `Reservation` → claim, with `JobAssigned.grant` and `.reserved_tokens` from it.
   `Unlimited` → claim without either.
   `NeedsGrant` → leave the job where it is this round; what to ask for is remembered.
   `HeldUntil` → hold the job with reason `quota` until that time.
   `budgets.is_unlimited` spares the estimate; `budgets.held_until` tells of a new job, before it is stored.
2. A claim that was certainly not stored: `budgets.undo(reservation)`. If nobody knows, do nothing: what no fact tells
   of comes back to the account when the grant ends.
3. After a round, if `budgets.has_wants`: `requests = budgets.wanted()`. If there are any, ask
   `TakeGrants(holder, requests)`, hand the answer to `budgets.take(answer.grants, now)` and look at the routes of these
   accounts again. If nobody answers, call `budgets.not_answered(requests)` and try again within a second; until then
   these jobs wait, as they must.
4. Every second: `spent = budgets.to_return(now)`. If there are any, send `ReturnGrants` with their ids and counts; it
   needs no care if nobody answers. On an orderly stop, after the last claim: `to_return(now, everything=True)`.
5. On `QuotaReleased`: `budgets.released(accounts)`, release their held jobs, look at their routes.
   On `PlanChanged`: `budgets.forget(accounts or None)`, release held jobs, look everywhere.
6. `budgets.most_parallel(account)` is the plan's cap on claimed and running jobs as last heard (after `reserve` said
   `Reservation` or `Unlimited`); counting them is the scheduler's.

What is reserved and what is spent agree, because a reservation is either undone or its `JobAssigned` is part of the
job's document, so that the fact comes. `holder` is new for every process: an earlier life's grants end by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gridloom_contract.quota import Grant, GrantRequest
from gridloom_domain.purses import Budget, Purse, is_over, knows_nothing

_EARLY = timedelta(seconds=4)
"""So long before an account's freedom from limits is old it is asked for anew: no job waits for that."""


@dataclass(frozen=True)
class Reservation:
    """So many tokens of a grant belong to a job that is about to be claimed."""

    grant: str
    tokens: int


@dataclass(frozen=True)
class Unlimited:
    """The account needs no reservation."""


@dataclass(frozen=True)
class NeedsGrant:
    """Nothing at hand is enough: ask for a grant of at least so many tokens."""

    tokens: int


@dataclass(frozen=True)
class HeldUntil:
    """Over quota: so many tokens are not to be had before that time, unless somebody says so.

    Before `spent_until` no running job can give back enough, either.
    """

    until: datetime
    spent_until: datetime | None = None


@dataclass(frozen=True)
class Spent:
    """A grant that goes back, with what was reserved from it."""

    grant: str
    tokens: int


Verdict = Reservation | Unlimited | NeedsGrant | HeldUntil


class Budgets:
    """The grants of one scheduler replica. Times are the scheduler's own."""

    def __init__(self) -> None:
        self._purses: dict[str, Purse] = {}
        self._accounts: dict[str, str] = {}
        self._wanting: set[str] = set()

    @property
    def has_wants(self) -> bool:
        """Whether there may be something to ask for."""
        return bool(self._wanting)

    def is_unlimited(self, account: str, now: datetime) -> bool:
        """Whether the account needs no reservation, so that nobody need estimate anything."""
        purse = self._purses.get(account)
        return purse is not None and purse.unlimited_until is not None and now < purse.unlimited_until

    def lacks(self, account: str, now: datetime) -> bool:
        """Whether some job of the account waits for a grant."""
        purse = self._purses.get(account)
        is_asking = purse is not None and (purse.wanted is not None or purse.asked is not None)
        return is_asking and not self.is_unlimited(account, now)

    def is_refused(self, account: str, now: datetime) -> bool:
        """Whether the account is over quota, at least for large jobs."""
        purse = self._purses.get(account)
        return purse is not None and purse.refused is not None and now < purse.refused[1]

    def held_until(self, account: str, tokens: int, now: datetime) -> datetime | None:
        """Return until when so many tokens are known not to be had; None if they may be. Reserves nothing."""
        purse = self._purses.get(account)
        if purse is None or purse.refused is None or any(budget.can(tokens, now) for budget in purse.budgets):
            return None
        refused, until = purse.refused
        return until if tokens >= refused and now < until else None

    def spent_until(self, account: str, tokens: int, now: datetime) -> datetime | None:
        """Return until when so many tokens cannot be had whatever comes back; None if that is not known."""
        purse = self._purses.get(account)
        if purse is None or purse.spent is None:
            return None
        spent, until = purse.spent
        return until if tokens >= spent and now < until else None

    def reserve(self, account: str, tokens: int, now: datetime) -> Verdict:
        """Reserve tokens for a job of the account, or say what to do instead."""
        purse = self._purses.setdefault(account, Purse())
        if purse.unlimited_until is not None and now < purse.unlimited_until:
            if now >= purse.unlimited_until - _EARLY and purse.asked is None:
                self._want(account, purse, 1)
            return Unlimited()
        for budget in purse.budgets:
            if budget.can(tokens, now):
                budget.spent += tokens
                budget.used_at = now
                return Reservation(budget.id, tokens)
        until = self.held_until(account, tokens, now)
        if until is not None:
            return HeldUntil(until, self.spent_until(account, tokens, now))
        self._want(account, purse, tokens)
        return NeedsGrant(tokens)

    def _want(self, account: str, purse: Purse, tokens: int) -> None:
        if purse.wanted is None:
            purse.wanted = tokens
            self._wanting.add(account)

    def undo(self, reservation: Reservation) -> None:
        """Take back a reservation whose claim was not stored."""
        purse = self._purses.get(self._accounts.get(reservation.grant, ""))
        for budget in purse.budgets if purse else ():
            if budget.id == reservation.grant:
                budget.spent = max(0, budget.spent - reservation.tokens)

    def wanted(self) -> tuple[GrantRequest, ...]:
        """Return what to ask for now: what the first job of each account lacked that was turned away. Asked once."""
        requests = []
        for account in sorted(self._wanting):
            purse = self._purses.get(account)
            if purse is None or purse.asked is None:
                self._wanting.discard(account)
            if purse is not None and purse.wanted is not None and purse.asked is None:
                purse.asked, purse.wanted = purse.wanted, None
                requests.append(GrantRequest(account=account, tokens=purse.asked))
        return tuple(requests)

    def take(self, grants: Iterable[Grant], now: datetime) -> None:
        """Put what was granted, or refused, at hand."""
        for grant in grants:
            purse = self._purses.setdefault(grant.account, Purse())
            asked, purse.asked = purse.asked, None
            purse.most_parallel = grant.max_parallel
            purse.unlimited_until = grant.expires_at if grant.unlimited else None
            if grant.held_until is not None:
                purse.refuse(asked or 0, grant.held_until, now)
                if grant.spent_until is not None:
                    purse.spend(asked or 0, grant.spent_until, now)
            elif grant.unlimited:
                purse.relent()
                purse.wanted = None
            elif grant.grant is not None and grant.expires_at is not None:
                purse.relent()
                purse.wanted = None  # whoever lacked something tries again
                purse.budgets.append(Budget(grant.grant, grant.tokens, grant.expires_at, now))
                self._accounts[grant.grant] = grant.account

    def not_answered(self, requests: Iterable[GrantRequest]) -> None:
        """Ask again next time: nobody answered."""
        for request in requests:
            purse = self._purses.get(request.account)
            if purse is not None and purse.asked is not None:
                purse.wanted, purse.asked = purse.asked, None
                self._wanting.add(request.account)

    def to_return(self, now: datetime, *, everything: bool = False) -> tuple[Spent, ...]:
        """Return the grants that go back now: expired, spent to the last token, or not reserved from for a while.

        They are not at hand any more. What is left of one goes back too while something larger is lacking.
        """
        ended: list[Spent] = []
        for account, purse in list(self._purses.items()):
            over = [budget for budget in purse.budgets if everything or is_over(purse, budget, now)]
            ended += [Spent(budget.id, budget.spent) for budget in over]
            purse.budgets = [budget for budget in purse.budgets if budget not in over]
            if knows_nothing(purse, now):
                del self._purses[account]
        for spent in ended:
            self._accounts.pop(spent.grant, None)
        return tuple(ended)

    def released(self, accounts: Iterable[str]) -> None:
        """Forget that these accounts were over quota."""
        for account in accounts:
            if account in self._purses:
                self._purses[account].relent()

    def forget(self, accounts: Iterable[str] | None = None) -> None:
        """Forget the plans of these accounts (None = of all); their grants are reserved from no more and go back."""
        for account in list(self._purses) if accounts is None else accounts:
            purse = self._purses.get(account)
            if purse is not None:
                purse.relent()
                purse.unlimited_until = purse.most_parallel = None
                for budget in purse.budgets:
                    budget.is_ending = True

    def most_parallel(self, account: str) -> int | None:
        """Return how many jobs of the account may be claimed or running at once, as last heard; None = any number."""
        purse = self._purses.get(account)
        return purse.most_parallel if purse else None
