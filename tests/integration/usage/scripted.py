"""The bus around the usage service: a scheduler that tells what it is told to, and a gateway that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nats.errors import Error as NatsError

from gridloom_contract import registry
from gridloom_contract.events import JobFinished
from gridloom_contract.fault import FaultError
from gridloom_contract.quota import VerifyReport
from gridloom_contract.streams import STREAMS
from gridloom_contract.usage import (
    EndingPage,
    GetUsage,
    GetUsageLine,
    LedgerTotals,
    LedgerTotalsReport,
    ListEndings,
    UsageLine,
    UsageReport,
    VerifyUsage,
)
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.streams import ensure_streams
from unit.usage.facts import an_ending

_POLL_SECONDS = 0.02
_AT_ONCE = 500
_OPEN_SECONDS = 20.0


class ScriptedScheduler:
    """Tells facts, and answers how jobs ended: `jobs` has the facts of each, told or not."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.jobs: dict[str, list[JobFinished]] = {}
        self.asked: list[ListEndings] = []

    async def open(self) -> None:
        """Make the streams, as a scheduler does first of all, once the server answers."""
        async with asyncio.timeout(_OPEN_SECONDS):
            while True:
                try:
                    return await ensure_streams(self.bus, STREAMS)
                except NatsError:
                    await asyncio.sleep(_POLL_SECONDS)

    async def answer(self) -> None:
        """Answer `ListEndings` from now on."""
        await self.bus.answer(registry.LIST_ENDINGS, self._on_list, queue=registry.SCHEDULER)
        await self.bus.flush()

    def ended(self, *facts: JobFinished) -> None:
        """Let jobs have ended, without telling anybody."""
        for fact in facts:
            known = self.jobs.setdefault(fact.job, [])
            if fact not in known:
                known.append(fact)

    async def tell(self, *facts: JobFinished, again: str = "") -> None:
        """Let jobs have ended and publish that; `again` makes it a repetition that the server does not recognise."""
        self.ended(*facts)
        await publish(self.bus, facts, again)

    async def _on_list(self, question: ListEndings, _subject: str) -> EndingPage:
        self.asked.append(question)
        endings = [an_ending(*facts) for facts in self.jobs.values()]
        if question.since is None:
            places = {(ending.job,): ending for ending in endings}
            after: tuple[Any, ...] = (question.after or "",)
        else:
            places = {(ending.ended_at, ending.job): ending for ending in endings}
            after = (question.since, question.after or "")
        page = [places[place] for place in sorted(places) if place > after][: question.limit]
        return EndingPage(endings=tuple(page), at=datetime.now(UTC))


async def publish(bus: Bus, facts: Sequence[JobFinished], again: str = "") -> None:
    """Store facts in the stream."""
    items = [
        Outgoing(subject=registry.fact_subject(fact), message=fact, message_id=f"{fact.job}:{fact.seq}{again}")
        for fact in facts
    ]
    for start in range(0, len(items), _AT_ONCE):
        assert all(await bus.publish_many(items[start : start + _AT_ONCE]))


class Asker:
    """Asks the usage service, as the gateway and the quota service do."""

    def __init__(self, gateway: Bus, quota: Bus) -> None:
        self._gateway = gateway
        self._quota = quota

    async def usage(self, account: str = "acc1", **asked: Any) -> UsageReport:
        """Return an account's totals."""
        report: UsageReport = await self._gateway.request(registry.GET_USAGE, GetUsage(account=account, **asked))
        return report

    async def line(self, job: str, account: str = "acc1") -> UsageLine:
        """Return a job's line in the ledger."""
        line: UsageLine = await self._gateway.request(registry.GET_USAGE_LINE, GetUsageLine(account=account, job=job))
        return line

    async def verify(self) -> VerifyReport:
        """Return what verification finds."""
        report: VerifyReport = await self._gateway.request(registry.VERIFY_USAGE, VerifyUsage(), timeout_seconds=30)
        return report

    async def totals(self, accounts: Sequence[str], since: datetime) -> LedgerTotalsReport:
        """Return what the ledger says."""
        question = LedgerTotals(accounts=tuple(accounts), since=since)
        report: LedgerTotalsReport = await self._quota.request(registry.LEDGER_TOTALS, question)
        return report

    async def until_answered(self, within_seconds: float = 20.0) -> None:
        """Return once a usage service answers."""
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    await self.usage()
                except FaultError:
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    return

    async def until_counted(self, jobs: int, account: str = "acc1", within_seconds: float = 20.0) -> UsageReport:
        """Return the account's usage once at least so many endings are in it."""
        async with asyncio.timeout(within_seconds):
            while True:
                report = await self.usage(account)
                if report.total.jobs >= jobs:
                    return report
                await asyncio.sleep(_POLL_SECONDS)
