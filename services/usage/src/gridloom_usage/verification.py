"""Proves the books: the ledger against the jobs, the rollups against the ledger, while both go on being written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_contract.quota import VerifyReport
from gridloom_contract.usage import EndingPage
from gridloom_kit.clock import Clock
from gridloom_usage.rules import differences
from gridloom_usage.rules.differences import Recount, Share
from gridloom_usage.rules.lines import BatchId, Line
from gridloom_usage.rules.rollups import Group, Rollup

_LINES_AT_ONCE = 1_000


class Pages(Protocol):
    """The jobs."""

    async def in_order_of_jobs(self, after: str | None) -> EndingPage:
        """Return the jobs after `after` that ever ended."""
        ...


class Ledger(Protocol):
    """The lines."""

    async def between(self, after: str | None, last: str | None, limit: int) -> list[Line]:
        """Return lines in order of their job."""
        ...

    async def accounts(self) -> set[str]:
        """Return every account that has a line."""
        ...

    def shares_of(self, account: str) -> AsyncIterator[Share]:
        """Yield what each batch counts in each rollup."""
        ...


class Rollups(Protocol):
    """The totals."""

    async def accounts(self) -> set[str]:
        """Return every account that has a rollup."""
        ...

    async def of_account(self, account: str) -> dict[Group, Rollup]:
        """Return all rollups of an account."""
        ...


class Batches(Protocol):
    """What is under way."""

    async def open_among(self, batches: Collection[BatchId]) -> set[BatchId]:
        """Return those that are open."""
        ...


class LedgerProof:
    """Recomputes the ledger from the jobs."""

    def __init__(self, pages: Pages, ledger: Ledger, clock: Clock, settle_seconds: float) -> None:
        self._pages = pages
        self._ledger = ledger
        self._clock = clock
        self._settle_seconds = settle_seconds

    async def prove(self) -> tuple[int, list[str]]:
        """Return how many jobs and lines were compared, and every difference in order of the job."""
        after: str | None = None
        checked, found = 0, list[str]()
        while True:
            # The page first: the ledger may then know more of young jobs, never less of settled ones.
            page = await self._pages.in_order_of_jobs(after)
            if not page.endings:
                count, beyond = await self._prove_without_jobs(page, after)
                return checked + count, found + beyond
            last = page.endings[-1].job
            lines = [line async for chunk in self._chunks(after, last) for line in chunk]
            found += differences.of_ledger(page.endings, lines, self._settled_until(page))
            checked += max(len(page.endings), len(lines))
            after = last

    async def _prove_without_jobs(self, page: EndingPage, after: str | None) -> tuple[int, list[str]]:
        """What stands in the ledger beyond the last job that ended."""
        checked, found = 0, list[str]()
        async for chunk in self._chunks(after, None):
            found += differences.of_ledger((), chunk, self._settled_until(page))
            checked += len(chunk)
        return checked, found

    def _settled_until(self, page: EndingPage) -> datetime:
        return (page.at or self._clock.now()) - timedelta(seconds=self._settle_seconds)

    async def _chunks(self, after: str | None, last: str | None) -> AsyncIterator[list[Line]]:
        while lines := await self._ledger.between(after, last, _LINES_AT_ONCE):
            yield lines
            after = lines[-1].job


class RollupProof:
    """Recomputes the rollups from the ledger."""

    def __init__(self, ledger: Ledger, rollups: Rollups, batches: Batches) -> None:
        self._ledger = ledger
        self._rollups = rollups
        self._batches = batches

    async def prove(self) -> tuple[int, list[str]]:
        """Return how many rollups were recomputed, and every difference in order of account and day."""
        checked, found = 0, list[str]()
        for account in sorted(await self._ledger.accounts() | await self._rollups.accounts()):
            count, differing = await self._prove(account)
            checked += count
            found += differing
        return checked, found

    async def _prove(self, account: str) -> tuple[int, list[str]]:
        # The rollups first: whatever they have by then is in the ledger already.
        rollups = await self._rollups.of_account(account)
        recount = Recount(rollups)
        async for share in self._ledger.shares_of(account):
            recount.add(share)
        return len(rollups), recount.differences() + await self._forgotten(account, recount.late)

    async def _forgotten(self, account: str, late: list[Share]) -> list[str]:
        """A batch that is not open any more has been applied everywhere: look once more, in this order."""
        if not late:
            return []
        still_open = await self._batches.open_among({share.batch for share in late})
        rollups = await self._rollups.of_account(account)
        closed = [share for share in late if share.batch not in still_open]
        return differences.of_forgotten(share for share in closed if not differences.is_applied(rollups, share))


class Verification:
    """Both proofs. A wrong ledger explains wrong rollups, so it comes first."""

    def __init__(self, ledger: LedgerProof, rollups: RollupProof) -> None:
        self._ledger = ledger
        self._rollups = rollups

    async def report(self) -> VerifyReport:
        """Return what was found."""
        lines, of_ledger = await self._ledger.prove()
        rollups, of_rollups = await self._rollups.prove()
        return VerifyReport(checked=lines + rollups, differences=differences.told([*of_ledger, *of_rollups]))
