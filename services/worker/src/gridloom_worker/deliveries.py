"""From a result to its receipt: a small one is reported as it is, a large output is kept on disk and uploaded first."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.work import ResultReport, StartReport, Verdict, WorkOrder
from gridloom_domain.inline import is_large
from gridloom_kit import crash
from gridloom_kit.transfer import Content
from gridloom_worker import rules
from gridloom_worker.reports import Reports
from gridloom_worker.spool import Spool
from gridloom_worker.uploads import Uploads


@dataclass(frozen=True)
class Parcel:
    """A result to deliver. A large output is not in it but is `content`."""

    result: ResultReport
    content: Content | None = None


class Deliveries:
    """Brings results to the scheduler, however long that takes."""

    def __init__(self, reports: Reports, uploads: Uploads, spool: Spool) -> None:
        self._reports = reports
        self._uploads = uploads
        self._spool = spool

    async def pack(self, result: ResultReport) -> Parcel:
        """Make a result ready; a large output is on the disk then, and need not be in memory any more."""
        if result.output is None or not is_large(result.output):
            return Parcel(result)
        bare = msgspec.structs.replace(result, output=None)
        content = await self._spool.put_large(bare, result.output)
        crash.point("worker.spooled_large")
        return Parcel(bare, content)

    def pack_again(self, result: ResultReport) -> Parcel:
        """Make a result of an earlier life of this worker ready."""
        return Parcel(result, self._spool.large_output_of(result))

    async def deliver(self, parcel: Parcel, start: StartReport | None = None) -> Verdict:
        """Return the verdict on a result, and on its start if nobody reported that yet."""
        if parcel.content is None:
            return await self._reports.deliver(parcel.result, start)
        verdict = await self._reports.started(start) if start else Verdict.RECORDED
        if verdict is Verdict.RECORDED:
            verdict = await self._deliver_large(parcel.result, parcel.content)
        await self._spool.drop((parcel.result.job, parcel.result.attempt))
        return verdict

    async def hand_back(self, order: WorkOrder, fault: Fault) -> None:
        """Give an untouched order back."""
        await self._reports.hand_back(order, fault)

    async def _deliver_large(self, result: ResultReport, content: Content) -> Verdict:
        try:
            ref = await self._uploads.upload(result, content)
        except FaultError as error:
            if error.fault.code is FaultCode.CONFLICT:
                return Verdict.STALE
            return await self._reports.confirm(rules.without_output(result, error.fault))
        crash.point("worker.uploaded")
        return await self._reports.confirm(msgspec.structs.replace(result, output_ref=ref))
