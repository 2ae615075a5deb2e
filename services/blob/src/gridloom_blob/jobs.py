"""The jobs behind the objects, as the scheduler has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from gridloom_blob.record import Blob
from gridloom_contract import registry
from gridloom_contract.blobs import AttachBlob, HoldJob, JobDataPurged, PurgeJobData
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import GetJob, Job
from gridloom_domain.job import Reason
from gridloom_kit.bus import Bus

_SECONDS = 3.0
"""Somebody waits for us, too: less than the five seconds that he gives us."""
_PURGE_SECONDS = 30.0


class Jobs:
    """The scheduler's answers. Raises its `FaultError`, `unavailable` while no scheduler answers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def hold(self, blob: Blob) -> None:
        """Keep the job back until the upload has expired. Raises `not_found`, or `conflict` if it waits no longer."""
        order = HoldJob(job=blob.job, account=blob.account, reason=Reason.BLOB, until=blob.upload_until)
        await self._bus.request(registry.HOLD_JOB, order, timeout_seconds=_SECONDS)

    async def attach(self, blob: Blob, *, release: bool) -> None:
        """Give the file to its job, and let it go with `release`. Raises `not_found`, or `conflict` if it is too late.

        A job that has the file already is as good, whatever became of it.
        """
        content_type = blob.content_type or ""
        order = AttachBlob(job=blob.job, account=blob.account, ref=blob.ref, content_type=content_type, release=release)
        try:
            await self._bus.request(registry.ATTACH_BLOB, order, timeout_seconds=_SECONDS)
        except FaultError as error:
            if error.fault.code is not FaultCode.CONFLICT or not await self._has(blob):
                raise

    async def find(self, blob: Blob) -> Job | None:
        """Return the object's job; None if there is none, or it is another account's."""
        try:
            question = GetJob(job=blob.job, account=blob.account)
            job: Job = await self._bus.request(registry.GET_JOB, question, timeout_seconds=_SECONDS)
        except FaultError as error:
            if error.fault.code is FaultCode.NOT_FOUND:
                return None
            raise
        return job

    async def purge(self, jobs: Sequence[str], ended_before: datetime) -> Collection[str]:
        """Have inputs and outputs of ended jobs forgotten. Returns those jobs that keep theirs."""
        order = PurgeJobData(jobs=tuple(jobs), ended_before=ended_before)
        purged: JobDataPurged = await self._bus.request(registry.PURGE_JOB_DATA, order, timeout_seconds=_PURGE_SECONDS)
        return frozenset(purged.kept)

    async def _has(self, blob: Blob) -> bool:
        job = await self.find(blob)
        return job is not None and blob.ref in job.attachments
