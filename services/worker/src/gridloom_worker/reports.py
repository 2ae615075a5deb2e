"""Starts and results on their way to the scheduler: gathered while a report is out, repeated until the receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gridloom_contract import registry, subjects
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.work import ReportReceipt, ResultReport, StartReport, Verdict, WorkOrder, WorkReport
from gridloom_kit import crash
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus
from gridloom_kit.log import get_logger
from gridloom_worker import rules
from gridloom_worker.slots import Key
from gridloom_worker.spool import Spool

log = get_logger()

_TIMEOUT_SECONDS = 3.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_ENVELOPE_BYTES = 1024
_ASIDE = 8
"""So many results go without waiting for the receipts of others; when there are more they go together."""
_NO_VERDICT = (None, Verdict.LATER)


class Desk(Protocol):
    """Who takes reports."""

    @property
    def limit_bytes(self) -> int:
        """The largest report that can be sent."""
        ...

    async def report(self, report: WorkReport) -> ReportReceipt:
        """Return the receipt. Raises `FaultError` if there was none; the report may have arrived all the same."""
        ...


class BusDesk:
    """The scheduler, over the worker's own connection."""

    def __init__(self, bus: Bus, worker: str) -> None:
        self._bus = bus
        self._subject = subjects.worker_report(worker)

    @property
    def limit_bytes(self) -> int:
        """What the server takes."""
        return self._bus.max_payload_bytes

    async def report(self, report: WorkReport) -> ReportReceipt:
        """Ask for a receipt on this worker's own subject."""
        receipt: ReportReceipt = await self._bus.request(
            registry.REPORT, report, subject=self._subject, timeout_seconds=_TIMEOUT_SECONDS
        )
        return receipt


@dataclass(frozen=True)
class _Item:
    """What one attempt has to say; `result` speaks for `start` where both go together."""

    start: StartReport | None
    result: ResultReport | None
    weight_bytes: int


_Commit = Callable[[_Item], Awaitable[Verdict | None]]


class _Keeping:
    """Keeps one result on disk until it is confirmed."""

    def __init__(self, spool: Spool, key: Key, content: bytes) -> None:
        self.confirmed = asyncio.Event()
        self._spool = spool
        self._key = key
        self._content = content

    async def keep(self) -> None:
        """Write the result, and remove it once it is confirmed."""
        await self._spool.put(self._key, self._content)
        crash.point("worker.spooled")
        await self.confirmed.wait()
        crash.point("worker.confirmed")
        await self._spool.drop(self._key)


class Reports:
    """Reports of one process. `async with` it for as long as anything is to be reported."""

    def __init__(self, worker: str, session: str, desk: Desk, spool: Spool) -> None:
        self._worker = worker
        self._session = session
        self._desk = desk
        self._spool = spool
        self.group: GroupCommit[_Item, Verdict | None] = GroupCommit(
            self._commit, aside=_ASIDE, share=lambda item: item.weight_bytes / self.result_limit_bytes
        )

    @property
    def result_limit_bytes(self) -> int:
        """The largest result, encoded, that a report can carry."""
        return self._desk.limit_bytes - _ENVELOPE_BYTES

    async def started(self, start: StartReport) -> Verdict:
        """Report a start until there is a verdict."""
        return await self._until_verdict(_Item(start, None, _ENVELOPE_BYTES))

    async def deliver(self, result: ResultReport, start: StartReport | None = None) -> Verdict:
        """Report a result (and the start, if nobody did yet) until there is a verdict; until then it is on disk too.

        Disk and report do not wait for each other: a crash before both is as if the attempt had not ended.
        """
        content = msgspec.json.encode(result)
        if len(content) > self.result_limit_bytes:
            result = rules.without_output(result, rules.too_large(len(content), self.result_limit_bytes))
            content = msgspec.json.encode(result)
        key = (result.job, result.attempt)
        async with asyncio.TaskGroup() as group:
            keeping = _Keeping(self._spool, key, content)
            patience_seconds = rules.spool_patience_seconds(result)
            due = asyncio.get_running_loop().call_later(patience_seconds, lambda: group.create_task(keeping.keep()))
            try:
                verdict = await self._until_verdict(_Item(start, result, len(content) + _ENVELOPE_BYTES))
            finally:
                due.cancel()
            keeping.confirmed.set()
        return verdict

    async def confirm(self, result: ResultReport) -> Verdict:
        """Report a result that somebody else keeps until there is a verdict.

        It goes by itself: what it refers to is looked for first, and all that goes with it would wait for that.
        """
        return await self._until_verdict(_Item(None, result, _ENVELOPE_BYTES), self._commit_alone)

    async def hand_back(self, order: WorkOrder, fault: Fault) -> None:
        """Give an untouched order back. Tried once: its absence from the heartbeats says the same."""
        await self.group.submit(_Item(None, rules.handed_back(order, fault), _ENVELOPE_BYTES))

    async def _until_verdict(self, item: _Item, commit: _Commit | None = None) -> Verdict:
        commit = commit or self.group.submit
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            verdict = await commit(item)
            if verdict not in _NO_VERDICT:
                return verdict
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    async def _commit_alone(self, item: _Item) -> Verdict | None:
        return (await self._commit([item]))[0]

    async def _commit(self, items: list[_Item]) -> list[Verdict | None]:
        """Send one report. None stands for: no verdict, try again."""
        report = WorkReport(
            worker=self._worker,
            session=self._session,
            started=tuple(item.start for item in items if item.start),
            results=tuple(item.result for item in items if item.result),
        )
        try:
            receipt = await self._desk.report(report)
        except FaultError as error:
            log.warning("report.unanswered", items=len(items), code=str(error.fault.code), err=error.fault.message)
            if error.fault.code is FaultCode.UNAVAILABLE or len(items) == 1:
                return [None] * len(items)
            # One item the scheduler cannot digest must not hold up the others.
            return [verdict for item in items for verdict in await self._commit([item])]
        return _verdicts(items, receipt)


def _verdicts(items: list[_Item], receipt: ReportReceipt) -> list[Verdict | None]:
    starts, results = iter(receipt.started), iter(receipt.results)
    verdicts: list[Verdict | None] = []
    for item in items:
        of_start = next(starts, None) if item.start else None
        of_result = next(results, None) if item.result else None
        verdicts.append(of_result if item.result else of_start)
    return verdicts
