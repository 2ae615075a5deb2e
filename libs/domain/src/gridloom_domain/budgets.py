"""Budgets: from which of its grants a scheduler replica reserves a job's tokens, without asking anybody per job.

How a scheduler uses it, in this order. Everything is in memory; only the two requests go over the bus.

1. Before it claims a job: `budgets.reserve(account, estimate(…), now)`.
   `Reservation` → claim, with `JobAssigned.grant` and `.reserved_tokens` from it.
   `Unlimited` → claim without either.
   `NeedsGrant` → leave the job where it is this round; what to ask for is remembered.
   `HeldUntil` → hold the job with reason `quota` until that time.
2. A claim that was certainly not stored: `budgets.undo(reservation)`. If nobody knows, do nothing: what no fact tells
   of comes back to the account when the grant ends.
3. After a round: `requests = budgets.wanted()`. If there are any, ask `TakeGrants(holder, requests)`, hand the answer
   to `budgets.take(answer.grants, now)` and look at the routes of these accounts again. If nobody answers, call
   `budgets.not_answered(requests)` and try again within a second; until then these jobs wait, as they must.
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
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from gridloom_contract.quota import Grant, GrantRequest

USUAL_OUTPUT_TOKENS = 256.0
"""What is expected of a model that nobody has seen answer yet."""

_CHARACTERS_PER_TOKEN = 3.0
_TEMPLATE_TOKENS = 16
_WEIGHT = 0.1
_SPREADS = 2.0
_IDLE = timedelta(seconds=5)
_QUIET = timedelta(seconds=1)
"""So long after the last reservation every claim is stored or undone, and what was spent is certain."""


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
    """Over quota: so many tokens are not to be had before that time, unless somebody says so."""

    until: datetime


@dataclass(frozen=True)
class Spent:
    """A grant that goes back, with what was reserved from it."""

    grant: str
    tokens: int


Verdict = Reservation | Unlimited | NeedsGrant | HeldUntil


def estimate(prompt_characters: int, max_tokens: int | None, usual_output: float = USUAL_OUTPUT_TOKENS) -> int:
    """Return how many tokens to reserve for a job: its prompt, and `max_tokens` or what the model usually answers.

    Three characters a token is more than most prompts need, so that jobs seldom exceed their estimate.
    """
    prompt = ceil(prompt_characters / _CHARACTERS_PER_TOKEN) + _TEMPLATE_TOKENS
    output = max_tokens if max_tokens is not None else ceil(usual_output)
    return prompt + max(1, output)


class UsualOutput:
    """What models usually answer, from what they answered: the mean of late answers and twice their spread."""

    def __init__(self, most_models: int = 10_000) -> None:
        self._most_models = most_models
        self._known: dict[str, tuple[float, float]] = {}

    def of(self, model: str) -> float:
        """Return the tokens to expect of an answer that has no bound of its own."""
        mean, spread = self._known.get(model, (USUAL_OUTPUT_TOKENS, 0.0))
        return mean + _SPREADS * spread

    def saw(self, model: str, tokens_out: int) -> None:
        """Learn from an answer."""
        mean, spread = self._known.pop(model, (float(tokens_out), tokens_out / 2.0))
        off = tokens_out - mean
        if len(self._known) >= self._most_models:
            del self._known[next(iter(self._known))]
        self._known[model] = (mean + _WEIGHT * off, spread + _WEIGHT * (abs(off) - spread))


@dataclass
class _Budget:
    """One grant at hand."""

    id: str
    tokens: int
    expires_at: datetime
    used_at: datetime
    spent: int = 0
    is_ending: bool = False

    @property
    def left(self) -> int:
        return self.tokens - self.spent


@dataclass
class _Purse:
    """What a replica knows of one account. `wanted` is to be asked for, `asked` is on its way."""

    budgets: list[_Budget] = field(default_factory=list)
    unlimited_until: datetime | None = None
    most_parallel: int | None = None
    refused: tuple[int, datetime] | None = None
    wanted: int | None = None
    asked: int | None = None


class Budgets:
    """The grants of one scheduler replica. Times are the scheduler's own."""

    def __init__(self) -> None:
        self._purses: dict[str, _Purse] = {}
        self._accounts: dict[str, str] = {}

    def reserve(self, account: str, tokens: int, now: datetime) -> Verdict:
        """Reserve tokens for a job of the account, or say what to do instead."""
        purse = self._purses.setdefault(account, _Purse())
        if purse.unlimited_until is not None and now < purse.unlimited_until:
            return Unlimited()
        for budget in purse.budgets:
            if budget.left >= tokens and now < budget.expires_at and not budget.is_ending:
                budget.spent += tokens
                budget.used_at = now
                return Reservation(budget.id, tokens)
        if purse.refused is not None:
            refused, until = purse.refused
            if tokens >= refused and now < until:
                return HeldUntil(until)
        if purse.wanted is None:
            purse.wanted = tokens
        return NeedsGrant(tokens)

    def undo(self, reservation: Reservation) -> None:
        """Take back a reservation whose claim was not stored."""
        purse = self._purses.get(self._accounts.get(reservation.grant, ""))
        for budget in purse.budgets if purse else ():
            if budget.id == reservation.grant:
                budget.spent = max(0, budget.spent - reservation.tokens)

    def wanted(self) -> tuple[GrantRequest, ...]:
        """Return what to ask for now: what the first job of each account lacked that was turned away. Asked once."""
        requests = []
        for account, purse in self._purses.items():
            if purse.wanted is not None and purse.asked is None:
                purse.asked, purse.wanted = purse.wanted, None
                requests.append(GrantRequest(account=account, tokens=purse.asked))
        return tuple(requests)

    def take(self, grants: Iterable[Grant], now: datetime) -> None:
        """Put what was granted, or refused, at hand."""
        for grant in grants:
            purse = self._purses.setdefault(grant.account, _Purse())
            asked, purse.asked = purse.asked, None
            purse.most_parallel = grant.max_parallel
            purse.unlimited_until = grant.expires_at if grant.unlimited else None
            if grant.held_until is not None:
                purse.refused = (asked or 0, grant.held_until)
            elif grant.grant is not None and grant.expires_at is not None:
                purse.refused = purse.wanted = None  # whoever lacked something tries again
                purse.budgets.append(_Budget(grant.grant, grant.tokens, grant.expires_at, now))
                self._accounts[grant.grant] = grant.account

    def not_answered(self, requests: Iterable[GrantRequest]) -> None:
        """Ask again next time: nobody answered."""
        for request in requests:
            purse = self._purses.get(request.account)
            if purse is not None and purse.asked is not None:
                purse.wanted, purse.asked = purse.asked, None

    def to_return(self, now: datetime, *, everything: bool = False) -> tuple[Spent, ...]:
        """Return the grants that go back now: expired, spent to the last token, or not reserved from for a while.

        They are not at hand any more. What is left of one goes back too while something larger is lacking.
        """
        ended: list[Spent] = []
        for account, purse in list(self._purses.items()):
            over = [budget for budget in purse.budgets if everything or _is_over(purse, budget, now)]
            ended += [Spent(budget.id, budget.spent) for budget in over]
            purse.budgets = [budget for budget in purse.budgets if budget not in over]
            if _knows_nothing(purse, now):
                del self._purses[account]
        for spent in ended:
            self._accounts.pop(spent.grant, None)
        return tuple(ended)

    def released(self, accounts: Iterable[str]) -> None:
        """Forget that these accounts were over quota."""
        for account in accounts:
            if account in self._purses:
                self._purses[account].refused = None

    def forget(self, accounts: Iterable[str] | None = None) -> None:
        """Forget the plans of these accounts (None = of all); their grants are reserved from no more and go back."""
        for account in list(self._purses) if accounts is None else accounts:
            purse = self._purses.get(account)
            if purse is not None:
                purse.refused = purse.unlimited_until = purse.most_parallel = None
                for budget in purse.budgets:
                    budget.is_ending = True

    def most_parallel(self, account: str) -> int | None:
        """Return how many jobs of the account may be claimed or running at once, as last heard; None = any number."""
        purse = self._purses.get(account)
        return purse.most_parallel if purse else None


def _is_over(purse: _Purse, budget: _Budget, now: datetime) -> bool:
    if now < budget.used_at + _QUIET:
        return False
    is_needed_elsewhere = purse.wanted is not None or purse.refused is not None
    is_late = now >= min(budget.expires_at, budget.used_at + _IDLE)
    return budget.is_ending or is_needed_elsewhere or is_late or budget.left <= 0


def _knows_nothing(purse: _Purse, now: datetime) -> bool:
    is_refused = purse.refused is not None and now < purse.refused[1]
    is_unlimited = purse.unlimited_until is not None and now < purse.unlimited_until
    return not (purse.budgets or is_refused or is_unlimited or purse.wanted or purse.asked)
