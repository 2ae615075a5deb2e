"""Verification of the quota's books, by themselves and against the ledger of the usage service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Protocol

from gridloom_contract.quota import VerifyQuota, VerifyReport, Window
from gridloom_contract.registry import LEDGER_TOTALS, Channel
from gridloom_contract.usage import LedgerTotals, LedgerTotalsReport
from gridloom_kit.clock import Clock
from gridloom_quota.record import Account
from gridloom_quota.rules.audit import Counts, Evidence, Reading, differences_from_ledger, differences_in, used_of
from gridloom_quota.rules.windows import WINDOWS, start_of

_MOST_DIFFERENCES = 100
_MOST_READINGS = 10
_PAUSE_SECONDS = 0.3
_LEDGER_SECONDS = 10.0


class Pages(Protocol):
    """All accounts, as of one moment."""

    def pages(self) -> AsyncIterator[list[Evidence]]:
        """Yield all accounts in order of their id."""
        ...


class Accounts(Protocol):
    """The accounts as they are stored."""

    async def load(self, accounts: Collection[str]) -> dict[str, Account]:
        """Return all these accounts."""
        ...


class Ledger(Protocol):
    """The way to the usage service."""

    async def request(self, channel: Channel, message: LedgerTotals, *, timeout_seconds: float) -> LedgerTotalsReport:
        """Return what the ledger says."""
        ...


class Audit:
    """Proves that nothing is lost, or names what is."""

    def __init__(self, pages: Pages, accounts: Accounts, ledger: Ledger, clock: Clock) -> None:
        self._pages = pages
        self._accounts = accounts
        self._ledger = ledger
        self._clock = clock

    async def on_verify(self, _message: VerifyQuota) -> VerifyReport:
        """Check every account. Raises `FaultError` (unavailable) if the ledger cannot be asked."""
        checked, differences = 0, list[str]()
        async for page in self._pages.pages():
            checked += len(page)
            for evidence in page:
                differences += differences_in(evidence)
            differences += await self._against_ledger([evidence.account for evidence in page])
        return VerifyReport(checked=checked, differences=tuple(differences[:_MOST_DIFFERENCES]))

    async def _against_ledger(self, accounts: Sequence[Account]) -> list[str]:
        """Compare with the ledger until both have caught up with each other, or enough time is over."""
        names = [account.id for account in accounts]
        now = self._clock.now()
        first = last = await self._read(names, now)
        for _ in range(_MOST_READINGS):
            if not list(differences_from_ledger(first, last)):
                return []
            await asyncio.sleep(_PAUSE_SECONDS)
            last = await self._read(names, now)
        return list(differences_from_ledger(first, last))

    async def _read(self, accounts: Sequence[str], now: datetime) -> Reading:
        before = await self._used(accounts, now)
        booked = await asyncio.gather(*(self._booked(accounts, window, now) for window in WINDOWS))
        ledger = {count: tokens for counts in booked for count, tokens in counts.items()}
        return Reading(before, ledger, await self._used(accounts, now))

    async def _used(self, accounts: Sequence[str], now: datetime) -> Counts:
        return used_of(list((await self._accounts.load(accounts)).values()), now)

    async def _booked(self, accounts: Sequence[str], window: Window, now: datetime) -> Counts:
        question = LedgerTotals(accounts=tuple(accounts), since=start_of(window, now))
        report = await self._ledger.request(LEDGER_TOTALS, question, timeout_seconds=_LEDGER_SECONDS)
        return {(total.account, window): total.tokens for total in report.totals}
