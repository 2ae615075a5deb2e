"""What comes with a shard: its workers are heard and answered here, and their jobs in hand are known."""

from __future__ import annotations

from typing import Protocol

from gridloom_contract import subjects
from gridloom_contract.registry import HELLO, REPORT, UPLOAD
from gridloom_contract.work import AskUpload, ReportReceipt, UploadSlot, WorkerHeartbeat, WorkReport
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus
from gridloom_kit.wire import Subscription
from gridloom_scheduler.outputs import Outputs
from gridloom_scheduler.reception import Reception
from gridloom_scheduler.reconciliation import Reconciliation
from gridloom_scheduler.record import WorkerRecord
from gridloom_scheduler.reports import Sent
from gridloom_scheduler.rules.endings import Report
from gridloom_scheduler.under_way import UnderWay


class Workers(Protocol):
    """Where workers are kept."""

    async def of_shard(self, shard: int) -> list[WorkerRecord]:
        """Return the workers of a shard that may work."""
        ...


class Reporting:
    """Takes reports: what they refer to is looked for first, then those of many workers share one write."""

    def __init__(self, reports: GroupCommit[Sent, ReportReceipt], outputs: Outputs, under_way: UnderWay) -> None:
        self._reports = reports
        self._outputs = outputs
        self._under_way = under_way

    async def on_ask(self, question: AskUpload, subject: str) -> UploadSlot:
        """Return where the holder of a job uploads its output. Raises what `Outputs.on_ask` does."""
        await self._under_way.settled((question.job,))
        return await self._outputs.on_ask(question, subject)

    async def on_report(self, report: WorkReport, subject: str) -> ReportReceipt:
        """Return the verdicts once they are journaled. What is reported on may be being stored still."""
        reports: tuple[Report, ...] = (*report.started, *report.results)
        await self._under_way.settled([one.job for one in reports])
        stored = await self._outputs.look_for(report)
        return await self._reports.submit(Sent(subjects.worker_in(subject), report, stored))


class Duty:
    """Looks after the workers of a shard from `begin` to `end`."""

    def __init__(
        self,
        bus: Bus,
        workers: Workers,
        reception: Reception,
        reconciliation: Reconciliation,
        reporting: Reporting,
    ) -> None:
        self._bus = bus
        self._workers = workers
        self._reception = reception
        self._reconciliation = reconciliation
        self._reporting = reporting
        self._subscriptions: dict[int, list[Subscription]] = {}

    async def begin(self, shard: int) -> None:
        """Know the shard's workers and their jobs, then hear them and ask each to introduce itself.

        Nobody is declared lost before it was silent for a whole lease from now.
        """
        workers = await self._workers.of_shard(shard)
        for worker in workers:
            self._reception.fleet.adopt(worker)
        await self._reconciliation.of([worker.id for worker in workers])
        self._subscriptions[shard] = [
            await self._bus.answer(HELLO, self._reception.on_hello, subject=subjects.shard_hellos(shard)),
            await self._bus.answer(REPORT, self._reporting.on_report, subject=subjects.shard_reports(shard)),
            await self._bus.answer(UPLOAD, self._reporting.on_ask, subject=subjects.shard_uploads(shard)),
            await self._bus.subscribe(subjects.shard_heartbeats(shard), WorkerHeartbeat, self._reception.on_heartbeat),
        ]
        for worker in workers:
            if worker.online:
                await self._reception.greeter.ask(worker.id)

    async def end(self, shard: int) -> None:
        """Hear the shard's workers no more and forget what was known of them."""
        for subscription in self._subscriptions.pop(shard, []):
            await subscription.close()
        self._reception.fleet.forget_shard(shard)
