"""The blob service's orders: a job waits for its files, is given them, and loses its data when their time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract import registry
from gridloom_contract.blobs import AttachBlob, HoldJob, JobDataPurged, PurgeJobData
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import CancelJob, Job, RetryJob
from gridloom_contract.vocabulary import State
from gridloom_testing.builders import an_offer
from gridloom_testing.plugin import OpenBus
from integration.scheduler.conftest import Replica, StartScheduler, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, names_of
from integration.scheduler.test_enclosures import ScriptedBlobs

pytestmark = pytest.mark.usefixtures("empty_streams")

VISION = an_offer(features=("vision",))


class BlobService:
    """Orders what the blob service orders."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def hold(self, job: str, seconds: float = 60.0, account: str = ACCOUNT) -> Job:
        """Keep a job back."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        held: Job = await self._gateway.ask(
            registry.HOLD_JOB, HoldJob(job=job, account=account, reason="blob", until=until)
        )
        return held

    async def attach(self, job: str, ref: str = "b1", *, release: bool = True, account: str = ACCOUNT) -> Job:
        """Give a job a file."""
        order = AttachBlob(job=job, account=account, ref=ref, content_type="image/png", release=release)
        attached: Job = await self._gateway.ask(registry.ATTACH_BLOB, order)
        return attached

    async def purge(self, *jobs: str, ended_before: datetime | None = None) -> JobDataPurged:
        """Have data forgotten."""
        purged: JobDataPurged = await self._gateway.ask(
            registry.PURGE_JOB_DATA, PurgeJobData(jobs=jobs, ended_before=ended_before)
        )
        return purged


@pytest.fixture
async def blobs(bus_for: OpenBus) -> BlobService:
    """The blob service: it presigns whatever it is asked for."""
    bus, presigning = await bus_for("blob"), ScriptedBlobs()
    presigning.may_answer.set()
    await bus.answer(registry.PRESIGN_OBJECTS, presigning.on_presign)
    return BlobService(Gateway(bus))


async def test_a_job_gets_its_file_and_the_order_its_url(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    busy = await gateway.submit()
    await worker.next_order()
    job = await gateway.submit()

    held = await blobs.hold(job)
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=busy, account=ACCOUNT))
    worker.holding.clear()
    attached = await blobs.attach(job)
    order = await worker.next_order()

    assert (held.state, held.reason) == (State.HELD, "blob")
    assert attached.attachments == ("b1",)
    assert [(file.kind, file.url, file.content_type) for file in order.attachments] == [
        ("image", "http://s3/b1", "image/png")
    ]
    assert names_of(await gateway.timeline(job)) == ["accepted", "held", "attached", "released", "assigned"]


async def test_a_job_that_gets_no_file_goes_without_when_its_hold_is_over(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker(offers=(VISION,))
    job = await gateway.submit(may_get_files=True)
    assert (await gateway.job(job)).state is State.HELD

    await blobs.hold(job, seconds=2.5)
    order = await worker.next_order()

    assert order.attachments == ()
    assert names_of(await gateway.timeline(job)) == ["accepted", "held", "held", "released", "assigned"]


async def test_only_a_job_that_may_get_an_image_and_can_see_it_waits_for_a_moment(
    start_scheduler: StartScheduler, gateway: Gateway, start_worker: StartWorker
) -> None:
    await start_scheduler(submit_hold_seconds=600.0)
    await gateway.until_answered()
    worker = await start_worker(slots=4, offers=(VISION, an_offer(model="blind:1b", family="blind")))

    seeing = await gateway.submit(may_get_files=True)
    others = [await gateway.submit(), await gateway.submit(model="blind:1b", may_get_files=True)]

    assert {(await worker.next_order()).job for _ in others} == set(others)
    assert (await gateway.job(seeing)).state is State.HELD


async def test_a_job_announced_with_two_files_starts_with_the_second(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    job = await gateway.submit(files=2)

    first = await blobs.attach(job, "b1")
    await blobs.attach(job, "b2")
    order = await worker.next_order()

    assert first.state is State.HELD
    assert [file.url for file in order.attachments] == ["http://s3/b1", "http://s3/b2"]


async def test_a_job_that_runs_gets_no_file_and_another_accounts_job_is_not_there(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    await worker.start(await worker.next_order())

    refused = []
    for attempt in (blobs.hold(job), blobs.attach(job), blobs.hold(job, account="other")):
        with pytest.raises(FaultError) as error:
            await attempt
        refused.append(error.value.fault.code)

    assert refused == [FaultCode.CONFLICT, FaultCode.CONFLICT, FaultCode.NOT_FOUND]


async def test_a_purge_leaves_the_job_and_takes_its_data(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    ended = await gateway.submit()
    await worker.do(await worker.next_order())
    running = await gateway.submit()
    await worker.next_order()
    unknown = "0" * 32

    early = await blobs.purge(ended, running, ended_before=datetime.now(UTC) - timedelta(days=1))
    due = await blobs.purge(ended, running, unknown, ended_before=datetime.now(UTC))
    again = await blobs.purge(ended)

    job = await gateway.job(ended)
    assert early == JobDataPurged(count=0, kept=tuple(sorted((ended, running))))
    assert due == JobDataPurged(count=1, kept=(running,))
    assert again == JobDataPurged(count=0)
    assert (job.state, job.output, job.task.prompt, job.data_removed) == (State.SUCCEEDED, None, None, True)
    assert names_of(await gateway.timeline(ended))[-1] == "purged"


async def test_a_purged_job_is_not_run_again(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    await start_worker()
    job = await gateway.submit()
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))
    await blobs.purge(job)

    with pytest.raises(FaultError) as error:
        await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account=ACCOUNT))

    assert error.value.fault.code is FaultCode.CONFLICT
