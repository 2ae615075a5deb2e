"""Quotas: whether a job may be claimed under its account's plan, decided from memory (`gridloom_domain.budgets`).

An account without limits costs two looks into a table. What is lacking is remembered here, and asked for by the
`treasury`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from gridloom_contract.events import JobAssigned
from gridloom_domain.budgets import Budgets, HeldUntil, NeedsGrant, Reservation, Unlimited
from gridloom_domain.estimates import UsualOutput
from gridloom_kit.clock import Clock
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.allowances import WITHOUT_LIMITS, Allowance, Moored, free_berths, tokens_for
from gridloom_scheduler.rules.changes import Change


class Harbour(Protocol):
    """The jobs in hand, by account."""

    async def moored(self, accounts: Collection[str]) -> Mapping[str, Moored]:
        """Return what each of these accounts has in hand."""
        ...


class Quotas:
    """What accounts may have now. `lacking` are the routes to look at again, by account, once grants have come.

    `wanting` is set when something is to be asked for.
    """

    def __init__(self, harbour: Harbour, usual: UsualOutput, clock: Clock) -> None:
        self.budgets = Budgets()
        self.lacking: dict[str, set[str]] = {}
        self.wanting = asyncio.Event()
        self._harbour = harbour
        self._usual = usual
        self._clock = clock
        self._berths: dict[str, list[int]] = {}

    def allow(self, job: JobRecord) -> Allowance | HeldUntil | None:
        """Return what the claim of a job takes of its plan; until when it is held; or None if it must wait a little."""
        now = self._clock.now()
        tokens = 0 if self.budgets.is_unlimited(job.account, now) else self._tokens_for(job)
        verdict = self.budgets.reserve(job.account, tokens, now)
        if self.budgets.has_wants:
            self.wanting.set()
        if isinstance(verdict, NeedsGrant):
            self.lacking.setdefault(job.account, set()).add(job.route)
            return None
        return verdict if isinstance(verdict, HeldUntil) else self._berthed(job.account, verdict)

    def _berthed(self, account: str, verdict: Reservation | Unlimited) -> Allowance | None:
        grant, tokens = (verdict.grant, verdict.tokens) if isinstance(verdict, Reservation) else (None, 0)
        if self.budgets.most_parallel(account) is None:
            return Allowance(grant, tokens) if grant is not None else WITHOUT_LIMITS
        berths = self._berths.get(account)
        if berths:
            return Allowance(grant, tokens, berths.pop())
        self.take_back(Allowance(grant, tokens))
        return None

    def has_berths(self, account: str) -> bool:
        """Whether the account may only have so many jobs in hand, so that its places must be counted first."""
        return self.budgets.most_parallel(account) is not None

    def over_quota_until(self, job: JobRecord) -> HeldUntil | None:
        """Return until when a new job is held, if that is known already. Reserves nothing."""
        now = self._clock.now()
        if not self.budgets.is_refused(job.account, now):
            return None
        tokens = self._tokens_for(job)
        until = self.budgets.held_until(job.account, tokens, now)
        return None if until is None else HeldUntil(until, self.budgets.spent_until(job.account, tokens, now))

    def take_back(self, allowance: Allowance) -> None:
        """Give back what was allowed for a claim that was certainly not stored."""
        if allowance.grant is not None:
            self.budgets.undo(Reservation(allowance.grant, allowance.tokens))

    async def count_berths(self, accounts: Iterable[str]) -> None:
        """Look which parallel places are free, of those accounts that have a cap on them: before every round."""
        caps = {account: self.budgets.most_parallel(account) for account in accounts}
        capped = {account: most for account, most in caps.items() if most is not None}
        for account in caps.keys() - capped.keys():
            self._berths.pop(account, None)
        moored = await self._harbour.moored(capped) if capped else {}
        for account, most in capped.items():
            self._berths[account] = free_berths(most, moored.get(account, Moored()))

    def stuck(self, accounts: Iterable[str]) -> set[str]:
        """Return those of the accounts of which nothing can be placed now: no grant has come, or no place is free."""
        now = self._clock.now()
        return {each for each in set(accounts) if self._berths.get(each) == [] or self.budgets.lacks(each, now)}

    def _tokens_for(self, job: JobRecord) -> int:
        return tokens_for(job, self._usual.of(job.model))


def allowance_of(claim: Change) -> Allowance:
    """Return what a claim takes of its account's plan."""
    fact = next((fact for fact in claim.facts if isinstance(fact, JobAssigned)), None)
    return Allowance(fact.grant, fact.reserved_tokens, claim.after.berth) if fact is not None else WITHOUT_LIMITS
