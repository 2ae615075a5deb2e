"""Tells an account's usage, as JSON or CSV, and has the books proved."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import hdrs, web

from gridloom_contract.fault import FaultError
from gridloom_contract.quota import VerifyReport
from gridloom_contract.registry import GET_USAGE, GET_USAGE_LINE, VERIFY_USAGE
from gridloom_contract.usage import GetUsage, GetUsageLine, UsageReport, VerifyUsage
from gridloom_gateway import replies
from gridloom_gateway.headroom import Headroom, headroom_of
from gridloom_gateway.plans import Plans
from gridloom_gateway.reading import query
from gridloom_gateway.route import CSV
from gridloom_gateway.usage_statement import (
    JobUsage,
    Statement,
    UsageQuery,
    as_asked,
    from_line,
    to_csv,
    to_question,
    to_statement,
)
from gridloom_kit.bus import Bus
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

_ANSWER_SECONDS: Final = 10.0
"""Years of days and tags may have to be added up."""
_PROOF_SECONDS: Final = 600.0
"""A proof reads every job and every line: 50,000 took seven seconds on a busy machine."""


class UsageDesk:
    """What the usage and the quota service say of an account."""

    def __init__(self, bus: Bus, plans: Plans, clock: Clock) -> None:
        self._bus = bus
        self._plans = plans
        self._clock = clock

    async def tell(self, request: web.Request, account: str) -> web.Response:
        """Answer a request for an account's usage. Raises `Invalid` with the field, `TooLarge`, `Unavailable`."""
        wanted = query(request, UsageQuery)
        statement = await self.statement(wanted, account)
        if wanted.format == "csv" or (wanted.format is None and _prefers_csv(request)):
            name = f"usage-{statement.since}-{statement.until}.csv"
            return replies.file(to_csv(statement).encode(), f"{CSV}; charset=utf-8; header=present", name)
        return replies.json(statement)

    async def statement(self, wanted: UsageQuery, account: str) -> Statement:
        """Return an account's usage, with its headroom if the quota service answers."""
        question = to_question(wanted, account, self._clock.now().date())
        report, headroom = await asyncio.gather(self._report(question), self._headroom(account))
        return to_statement(question, report, headroom)

    async def line(self, account: str, job: str) -> JobUsage:
        """Return what a job took. Raises `NotFound` while it has not been counted, or if it is another account's."""
        question = GetUsageLine(account=account, job=job)
        return from_line(await self._bus.request(GET_USAGE_LINE, question, timeout_seconds=_ANSWER_SECONDS))

    async def verify(self) -> VerifyReport:
        """Have the ledger compared with the jobs and the totals with the ledger: minutes, on a large grid."""
        report: VerifyReport = await self._bus.request(VERIFY_USAGE, VerifyUsage(), timeout_seconds=_PROOF_SECONDS)
        return report

    async def _report(self, question: GetUsage) -> UsageReport:
        try:
            report: UsageReport = await self._bus.request(GET_USAGE, question, timeout_seconds=_ANSWER_SECONDS)
        except FaultError as error:
            raise as_asked(error) from None
        return report

    async def _headroom(self, account: str) -> Headroom | None:
        try:
            return await headroom_of(self._plans, account)
        except FaultError as error:
            log.warning("usage.no_headroom", account=account, err=error.fault.message)
            return None


def _prefers_csv(request: web.Request) -> bool:
    accepted = request.headers.get(hdrs.ACCEPT, "").lower()
    return CSV in accepted.partition("application/json")[0]
