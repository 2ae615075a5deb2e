"""What the usage service hears and answers: one method a message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Protocol

from gridloom_contract.base import encode
from gridloom_contract.events import JobFinished
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.quota import VerifyReport
from gridloom_contract.usage import (
    AccountTotal,
    GetUsage,
    GetUsageLine,
    LedgerTotals,
    LedgerTotalsReport,
    UsageLine,
    UsageReport,
    VerifyUsage,
)
from gridloom_domain.errors import NotFound, TooLarge
from gridloom_kit.consume import Reject
from gridloom_usage.lag import Lag
from gridloom_usage.rules.batches import bare
from gridloom_usage.rules.lines import Line, unusable
from gridloom_usage.rules.questions import Period, question_of, report_of, told_line
from gridloom_usage.rules.rollups import Sums
from gridloom_usage.verification import Verification

_MOST_ROWS = 20_000

Totals = list[tuple[dict[str, str | None], Sums]]


class Rollups(Protocol):
    """The totals."""

    async def totals(self, account: str, period: Period, groups: Collection[str], limit: int) -> Totals:
        """Return an account's totals of a period."""
        ...


class Ledger(Protocol):
    """The lines."""

    async def of_job(self, job: str) -> Line | None:
        """Return the line of a job, or None."""
        ...

    async def totals_of(self, accounts: Collection[str], since: datetime) -> dict[str, AccountTotal]:
        """Return what accounts used since a moment."""
        ...


class Accounting:
    """Takes the facts."""

    def __init__(self, record: Callable[[JobFinished], Awaitable[None]], lag: Lag) -> None:
        self._record = record
        self._lag = lag

    async def on_finished(self, fact: JobFinished) -> None:
        """Count the ending, unless it is counted. Raises `Reject` for numbers that no job has."""
        if why := unusable(fact):
            raise Reject(Fault(code=FaultCode.INVALID, message=why, field="usage"))
        self._lag.begin(fact)
        await self._record(bare(fact))
        self._lag.end(fact)


class UsageDesk:
    """Answers what was counted."""

    def __init__(self, rollups: Rollups, ledger: Ledger, verification: Verification, most_bytes: int) -> None:
        self._rollups = rollups
        self._ledger = ledger
        self._verification = verification
        self._most_bytes = most_bytes

    async def on_get(self, asked: GetUsage) -> UsageReport:
        """Return the account's totals. Raises `Invalid` with the field, `TooLarge` if they do not fit one answer."""
        question = question_of(asked)
        found = await self._rollups.totals(question.account, question.period, question.groups, _MOST_ROWS + 1)
        report = report_of(question, found)
        if len(found) > _MOST_ROWS or len(encode(report)) > self._most_bytes:
            raise TooLarge(f"{len(found)} rows do not fit one answer: ask for fewer days or groups", "group_by")
        return report

    async def on_line(self, asked: GetUsageLine) -> UsageLine:
        """Return the line of a job. Raises `NotFound` if there is none yet, or if it is another account's."""
        line = await self._ledger.of_job(asked.job)
        if line is None or line.account != asked.account:
            raise NotFound("there is no such job, or it has not been counted yet")
        return told_line(line)

    async def on_totals(self, asked: LedgerTotals) -> LedgerTotalsReport:
        """Return what the ledger says the accounts used, in the order asked; an unknown account used nothing."""
        found = await self._ledger.totals_of(asked.accounts, asked.since)
        nothing = (AccountTotal(account=account, tokens=0, jobs=0) for account in asked.accounts)
        return LedgerTotalsReport(totals=tuple(found.get(total.account, total) for total in nothing))

    async def on_verify(self, _asked: VerifyUsage) -> VerifyReport:
        """Prove the books and return what differs."""
        return await self._verification.report()
