"""S3, MongoDB or the scheduler is away for a while: who asks is told so at once, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from time import monotonic
from typing import Any

import aiohttp
import pytest

from gridloom_blob.record import EndedJob, Phase
from gridloom_blob.service import Core
from gridloom_contract.blobs import Purpose
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.servers import MongoServer, S3Server
from integration.blob.conftest import StartBlob
from integration.blob.scripted import PNG, Asker, ScriptedScheduler, keys_in, now

LATER = timedelta(minutes=18)
AFTER_ALL_UPLOADS = timedelta(minutes=76)


async def unavailable(asking: Awaitable[Any]) -> Fault:
    with pytest.raises(FaultError) as caught:
        await asking
    assert caught.value.fault.code is FaultCode.UNAVAILABLE
    assert caught.value.fault.retryable
    return caught.value.fault


async def page(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{LOOPBACK}:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_while_s3_is_down_uploads_are_told_so_and_no_job_is_held(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, own_s3: S3Server, core: Core
) -> None:
    await start_blob()
    job = scheduler.a_job()
    open_slot = await asker.create(scheduler.a_job())
    await asker.put(open_slot.upload_url, PNG)
    kept = await asker.upload(scheduler.a_job())
    own_s3.kill()
    await asker.until_refused(lambda: scheduler.a_job(account="acc2"))
    held = len(scheduler.orders)
    for asking in (
        asker.create(job),
        asker.reserve(job, Purpose.TASK, 10),
        asker.confirm(open_slot.blob),
        asker.presign(kept, verify=True),
    ):
        fault = await unavailable(asking)
        assert fault.retry_after_seconds
        assert "object store" in fault.message
    assert scheduler.jobs[job.job].state is State.QUEUED
    assert len(scheduler.orders) == held
    assert (await asker.presign(kept)).objects[0].url, "signing asks nobody"

    own_s3.start()
    assert (await asker.confirm(open_slot.blob)).content_type == "image/png"
    assert await asker.upload(job)


async def test_while_s3_hangs_nobody_waits_for_long(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, own_s3: S3Server
) -> None:
    await start_blob()
    slot = await asker.create(scheduler.a_job())
    await asker.put(slot.upload_url, PNG)
    with own_s3.suspended():
        began = monotonic()
        await unavailable(asker.confirm(slot.blob))
        assert monotonic() - began < 10.0
    assert (await asker.confirm(slot.blob)).content_type == "image/png"


async def test_readiness_names_s3_and_liveness_does_not(start_blob: StartBlob, own_s3: S3Server) -> None:
    port = free_port()
    await start_blob(internal_port=port)
    assert (await page(port, "/readyz"))[0] == 200
    own_s3.kill()
    status, body = await page(port, "/readyz")
    assert status == 503
    assert '"s3"' in body
    assert (await page(port, "/livez"))[0] == 200
    own_s3.start()
    assert (await page(port, "/readyz"))[0] == 200


async def test_a_service_starts_while_s3_is_down(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, own_s3: S3Server
) -> None:
    own_s3.kill()
    await start_blob()
    await unavailable(asker.create(scheduler.a_job()))
    own_s3.start()
    assert await asker.upload(scheduler.a_job())


async def test_what_cannot_be_deleted_stays_in_the_record_until_it_can(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, own_s3: S3Server, core: Core
) -> None:
    await start_blob()
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    own_s3.kill()
    moment = now() + AFTER_ALL_UPLOADS
    for hours in range(3):
        await core.sweeper.sweep(moment + timedelta(hours=hours))
    doomed = await core.blobs.find(slot.blob)
    assert doomed is not None
    assert doomed.phase is Phase.DOOMED
    own_s3.start()
    assert await keys_in(own_s3)
    await core.sweeper.sweep(moment + timedelta(hours=4))
    await core.sweeper.sweep(moment + timedelta(hours=5))
    assert await core.blobs.find(slot.blob) is None
    assert not [key for key in await keys_in(own_s3) if job.job in key]


async def test_data_that_s3_does_not_delete_now_is_deleted_later(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, own_s3: S3Server, core: Core
) -> None:
    await start_blob()
    job = scheduler.a_job()
    ref = await asker.upload(job)
    await core.ended.put([_ended(scheduler, job)])
    month = now() + timedelta(days=31)
    own_s3.kill()
    await core.retention.sweep(month)
    await core.sweeper.sweep(month)
    assert scheduler.jobs[job.job].data_removed
    assert await core.blobs.find(ref.removeprefix("obj_")) is not None
    own_s3.start()
    await core.sweeper.sweep(month + timedelta(hours=1))
    await core.sweeper.sweep(month + timedelta(hours=2))
    assert await core.blobs.find(ref.removeprefix("obj_")) is None
    assert not [key for key in await keys_in(own_s3) if job.job in key]


async def test_without_a_scheduler_nothing_is_given_up(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    await start_blob()
    ref = await asker.upload(scheduler.a_job())
    reserved = await asker.reserve(scheduler.a_job(), Purpose.TASK, 4)
    await scheduler.bus.client.drain()
    for hours in range(2, 5):
        await core.sweeper.sweep(now() + timedelta(hours=hours))
    for one in (ref, reserved.ref):
        found = await core.blobs.find(one.removeprefix("obj_"))
        assert found is not None
        assert found.phase is not Phase.DOOMED


async def test_while_mongodb_is_away_who_asks_is_told_so(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker, mongo_server: MongoServer
) -> None:
    await start_blob()
    job = scheduler.a_job()
    mongo_server.kill()
    try:
        await unavailable(asker.create(job))
    finally:
        mongo_server.start()
    await asker.until_answered()
    assert await asker.upload(job)


async def test_metrics_tell_of_urls_calls_and_confirmations(
    start_blob: StartBlob, scheduler: ScriptedScheduler, asker: Asker
) -> None:
    port = free_port()
    await start_blob(internal_port=port)
    ref = await asker.upload(scheduler.a_job())
    await asker.presign(ref)
    _, text = await page(port, "/metrics")
    for wanted in (
        'gridloom_blob_presign_total{op="put"}',
        'gridloom_blob_presign_total{op="get"}',
        'gridloom_s3_request_duration_seconds_count{code="200",op="copy"}',
        'gridloom_blob_confirms_total{result="confirmed"}',
        "gridloom_blob_orphans",
    ):
        assert wanted in text


def _ended(scheduler: ScriptedScheduler, job: Job) -> EndedJob:
    at = now()
    scheduler.change(job, state=State.SUCCEEDED, ended_at=at)
    return EndedJob(job.job, job.account, at)
