"""The bus around the blob service: a scheduler with jobs, a quota service with plans, a client that uploads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from gridloom_contract import registry
from gridloom_contract.blobs import (
    AttachBlob,
    BlobConfirmed,
    BlobSlot,
    ConfirmBlob,
    CreateBlob,
    HoldJob,
    JobDataPurged,
    ObjectReserved,
    ObjectsPresigned,
    PresignObjects,
    PurgeJobData,
    Purpose,
    ReserveObject,
)
from gridloom_contract.events import JobFinished
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.files import CreateFile, DeleteFile, FileEntry, FileSlot, GetFile
from gridloom_contract.jobs import GetJob, Job
from gridloom_contract.quota import AccountQuota, GetQuota, Plan, PlanChanged
from gridloom_contract.streams import STREAMS
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Conflict, NotFound
from gridloom_domain.job import is_terminal, is_waiting
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.objects import open_objects
from gridloom_kit.streams import ensure_streams
from gridloom_testing.builders import a_job, a_job_id
from gridloom_testing.servers import S3Server

_POLL_SECONDS = 0.02
_WITHIN_SECONDS = 20.0
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100)


class ScriptedScheduler:
    """Has jobs, and does with them what the contract says of hold, attach and purge."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.jobs: dict[str, Job] = {}
        self.orders: list[HoldJob | AttachBlob | PurgeJobData] = []

    async def open(self) -> None:
        """Make the streams and answer from now on."""
        await ensure_streams(self.bus, STREAMS)
        for channel, handler in (
            (registry.HOLD_JOB, self._on_hold),
            (registry.ATTACH_BLOB, self._on_attach),
            (registry.GET_JOB, self._on_get),
            (registry.PURGE_JOB_DATA, self._on_purge),
        ):
            await self.bus.answer(channel, handler, queue=registry.SCHEDULER)
        await self.bus.flush()

    def a_job(self, **changes: Any) -> Job:
        """Have one more job, queued unless told otherwise."""
        job = a_job(**changes)
        self.jobs[job.job] = job
        return job

    def change(self, job: Job, **changes: Any) -> Job:
        """Change what the job's document says."""
        self.jobs[job.job] = msgspec.structs.replace(self.jobs[job.job], **changes)
        return self.jobs[job.job]

    async def end(self, job: Job, at: datetime, seq: int = 4, **changes: Any) -> JobFinished:
        """Let the job succeed, and tell so."""
        self.change(job, state=State.SUCCEEDED, ended_at=at, **changes)
        fact = JobFinished(
            job=job.job,
            account=job.account,
            seq=seq,
            at=at,
            id=f"e{seq}",
            state=State.SUCCEEDED,
            key=job.key,
            model=job.model,
            dialect=job.dialect,
        )
        await self.tell(fact)
        return fact

    async def tell(self, *facts: JobFinished, again: str = "") -> None:
        """Publish facts; `again` makes them repetitions that the server does not recognise."""
        items = [
            Outgoing(subject=registry.fact_subject(fact), message=fact, message_id=f"{fact.job}:{fact.seq}{again}")
            for fact in facts
        ]
        assert all(await self.bus.publish_many(items))

    def attached_to(self, job: Job) -> tuple[str, ...]:
        """Return what the job's document refers to."""
        return self.jobs[job.job].attachments

    def _owned(self, job: str, account: str) -> Job:
        found = self.jobs.get(job)
        if found is None or found.account != account:
            raise NotFound("there is no such job")
        return found

    async def _on_hold(self, order: HoldJob, _subject: str) -> Job:
        self.orders.append(order)
        job = self._owned(order.job, order.account)
        if not is_waiting(job.state):
            raise Conflict(f"the job is {job.state}")
        until = max(order.until, job.held_until or order.until)
        return self.change(job, state=State.HELD, reason=order.reason, held_until=until)

    async def _on_attach(self, order: AttachBlob, _subject: str) -> Job:
        self.orders.append(order)
        job = self._owned(order.job, order.account)
        if not is_waiting(job.state):
            raise Conflict(f"the job is {job.state}")
        if order.ref not in job.attachments:
            job = self.change(job, attachments=(*job.attachments, order.ref))
        return self.change(job, state=State.QUEUED, reason=None, held_until=None) if order.release else job

    async def _on_get(self, question: GetJob, _subject: str) -> Job:
        return self._owned(question.job, question.account)

    async def _on_purge(self, order: PurgeJobData, _subject: str) -> JobDataPurged:
        self.orders.append(order)
        there = [self.jobs[job] for job in order.jobs if job in self.jobs]
        old = [job for job in there if is_terminal(job.state) and job.ended_at <= order.ended_before]
        fresh = [job for job in old if not job.data_removed]
        for job in fresh:
            self.change(job, data_removed=True, task_ref=None, output_ref=None, attachments=())
        kept = {job.job for job in there} - {job.job for job in old}
        return JobDataPurged(count=len(fresh), kept=tuple(sorted(kept)))


class ScriptedQuota:
    """Has a plan for each account; `None` stands for an account without one of its own."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.plans: dict[str, Plan] = {}
        self._answering: Any = None

    async def open(self) -> None:
        """Answer from now on."""
        self._answering = await self.bus.answer(registry.GET_QUOTA, self._on_get, queue=registry.QUOTA)
        await self.bus.flush()

    async def close(self) -> None:
        """Answer nothing any more."""
        await self._answering.close()
        await self.bus.flush()

    async def put(self, account: str, **changes: Any) -> None:
        """Change an account's plan, and tell so."""
        self.plans[account] = Plan(name="own", **changes)
        await self.bus.publish(registry.PLAN_CHANGED.subject, PlanChanged(accounts=(account,)))

    async def _on_get(self, question: GetQuota, _subject: str) -> AccountQuota:
        return AccountQuota(account=question.account, plan=self.plans.get(question.account, Plan(name="default")))


class Asker:
    """Asks the blob service as gateway and scheduler do, and uploads and downloads as clients and workers do."""

    def __init__(self, bus: Bus, http: aiohttp.ClientSession) -> None:
        self._bus = bus
        self._http = http

    async def create(self, owned: Job, **changes: Any) -> BlobSlot:
        """Make a slot."""
        order = CreateBlob(**({"account": owned.account, "job": owned.job} | changes))
        slot: BlobSlot = await self._bus.request(registry.CREATE_BLOB, order, timeout_seconds=10)
        return slot

    async def confirm(self, blob: str, account: str = "acc1") -> BlobConfirmed:
        """Confirm an upload."""
        order = ConfirmBlob(account=account, blob=blob)
        confirmed: BlobConfirmed = await self._bus.request(registry.CONFIRM_BLOB, order, timeout_seconds=30)
        return confirmed

    async def upload(self, job: Job, content: bytes = PNG) -> str:
        """Make a slot, put an image there, and confirm it. Returns its ref."""
        slot = await self.create(job)
        assert await self.put(slot.upload_url, content) == 200
        await self.confirm(slot.blob, job.account)
        return f"obj_{slot.blob}"

    async def keep(self, content: bytes, **changes: Any) -> FileEntry:
        """Store a file of an account and return it."""
        usual = {
            "file": a_job_id(),
            "account": "acc1",
            "name": "lines.jsonl",
            "label": "batch",
            "keep_seconds": 86_400.0,
        }
        order = CreateFile(**(usual | {"size_bytes": len(content)} | changes))
        slot: FileSlot = await self._bus.request(registry.CREATE_FILE, order, timeout_seconds=10)
        assert slot.upload_url is not None
        assert await self.put(slot.upload_url, content) == 200
        return await self.kept(order.file, order.account)

    async def kept(self, file: str, account: str = "acc1") -> FileEntry:
        """Return a file of an account."""
        entry: FileEntry = await self._bus.request(
            registry.GET_FILE, GetFile(file=file, account=account), timeout_seconds=30
        )
        return entry

    async def delete(self, file: str, account: str = "acc1") -> None:
        """Delete a file of an account."""
        await self._bus.request(registry.DELETE_FILE, DeleteFile(file=file, account=account), timeout_seconds=10)

    async def reserve(self, job: Job, purpose: Purpose, size_bytes: int) -> ObjectReserved:
        """Reserve an object."""
        order = ReserveObject(account=job.account, job=job.job, purpose=purpose, size_bytes=size_bytes)
        reserved: ObjectReserved = await self._bus.request(registry.RESERVE_OBJECT, order, timeout_seconds=10)
        return reserved

    async def presign(self, *refs: str, **changes: Any) -> ObjectsPresigned:
        """Ask for URLs."""
        order = PresignObjects(refs=refs, **changes)
        presigned: ObjectsPresigned = await self._bus.request(registry.PRESIGN_OBJECTS, order, timeout_seconds=30)
        return presigned

    async def put(self, url: str, content: bytes, **headers: str) -> int:
        """Upload; return the status."""
        async with self._http.put(URL(url, encoded=True), data=BytesIO(content), headers=headers) as answer:
            return answer.status

    async def get(self, url: str | None) -> tuple[int, bytes, str | None]:
        """Download; return status, content and type."""
        assert url is not None
        async with self._http.get(URL(url, encoded=True)) as answer:
            return answer.status, await answer.read(), answer.headers.get("Content-Type")

    async def until_refused(self, new_job: Callable[[], Job]) -> None:
        """Return once slots are refused: an S3 that answered a second ago is believed to be well."""
        async with asyncio.timeout(_WITHIN_SECONDS):
            while True:
                try:
                    await self.create(new_job())
                except FaultError as error:
                    if error.fault.code is FaultCode.UNAVAILABLE:
                        return
                await asyncio.sleep(_POLL_SECONDS)

    async def until_answered(self) -> None:
        """Return once a blob service answers."""
        async with asyncio.timeout(_WITHIN_SECONDS):
            while True:
                try:
                    await self._bus.request(registry.PRESIGN_OBJECTS, PresignObjects(refs=()), timeout_seconds=1)
                    return
                except FaultError as error:
                    if error.fault.code is not FaultCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(_POLL_SECONDS)


async def keys_in(s3: S3Server) -> Collection[str]:
    """Return all keys in the bucket."""
    async with open_objects(s3.endpoint_url, s3.access_key, s3.secret_key) as objects:
        found = await objects.list_objects_v2(Bucket=s3.bucket)
    return {entry["Key"] for entry in found.get("Contents", ())}


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
