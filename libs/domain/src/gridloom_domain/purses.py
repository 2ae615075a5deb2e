"""Purses: what a scheduler replica knows of the accounts whose tokens it reserves, see `budgets`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

_IDLE = timedelta(seconds=5)
_QUIET = timedelta(seconds=1)
"""So long after the last reservation every claim is stored or undone, and what was spent is certain."""


@dataclass
class Budget:
    """One grant at hand."""

    id: str
    tokens: int
    expires_at: datetime
    used_at: datetime
    spent: int = 0
    is_ending: bool = False

    @property
    def left(self) -> int:
        """The tokens that nobody has reserved."""
        return self.tokens - self.spent

    def can(self, tokens: int, now: datetime) -> bool:
        """Whether so many can be reserved."""
        return self.left >= tokens and now < self.expires_at and not self.is_ending


@dataclass
class Purse:
    """What a replica knows of one account. `wanted` is to be asked for, `asked` is on its way.

    So many tokens were `refused` until a time; so many are `spent` until a time.
    """

    budgets: list[Budget] = field(default_factory=list)
    unlimited_until: datetime | None = None
    most_parallel: int | None = None
    refused: tuple[int, datetime] | None = None
    spent: tuple[int, datetime] | None = None
    wanted: int | None = None
    asked: int | None = None

    def refuse(self, tokens: int, until: datetime, now: datetime) -> None:
        """Note that so many tokens are not to be had: whoever lacks as much or more need not ask."""
        if self.refused is not None and now < self.refused[1]:
            tokens = min(tokens, self.refused[0])
        self.refused = (tokens, until)
        if self.wanted is not None and self.wanted >= tokens:
            self.wanted = None

    def spend(self, tokens: int, until: datetime, now: datetime) -> None:
        """Note that so many tokens cannot even come back. Whoever lacks less is no less refused, and may hope."""
        if self.spent is None or now >= self.spent[1] or tokens < self.spent[0]:
            self.spent = (tokens, until)

    def relent(self) -> None:
        """Forget what was refused."""
        self.refused = self.spent = None


def is_over(purse: Purse, budget: Budget, now: datetime) -> bool:
    """Whether a grant of this purse is to go back."""
    if now < budget.used_at + _QUIET:
        return False
    is_needed_elsewhere = purse.wanted is not None or purse.refused is not None
    is_late = now >= min(budget.expires_at, budget.used_at + _IDLE)
    return budget.is_ending or is_needed_elsewhere or is_late or budget.left <= 0


def knows_nothing(purse: Purse, now: datetime) -> bool:
    """Whether the purse may be forgotten."""
    is_refused = purse.refused is not None and now < purse.refused[1]
    is_unlimited = purse.unlimited_until is not None and now < purse.unlimited_until
    return not (purse.budgets or is_refused or is_unlimited or purse.wanted or purse.asked)
