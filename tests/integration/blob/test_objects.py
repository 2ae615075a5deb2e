"""Tasks and outputs that are too large for the bus: reserved, uploaded, served by reference."""

from __future__ import annotations

import asyncio
import os

import pytest

from gridloom_blob.service import Core
from gridloom_contract.blobs import Purpose
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_testing.servers import S3Server
from integration.blob.conftest import Replica, StartBlob
from integration.blob.scripted import PNG, Asker, ScriptedQuota, ScriptedScheduler

pytestmark = pytest.mark.usefixtures("blob")
TWENTY_MEGABYTES = 20_000_000


async def refused(asking: object) -> FaultCode:
    with pytest.raises(FaultError) as caught:
        await asking  # type: ignore[misc]
    return caught.value.fault.code


@pytest.mark.parametrize(
    ("purpose", "content_type"), [(Purpose.TASK, "application/json"), (Purpose.OUTPUT, "text/plain; charset=utf-8")]
)
async def test_twenty_megabytes_travel_by_reference(
    purpose: Purpose, content_type: str, scheduler: ScriptedScheduler, asker: Asker
) -> None:
    job, content = scheduler.a_job(), os.urandom(TWENTY_MEGABYTES)
    reserved = await asker.reserve(job, purpose, len(content))
    assert reserved.ref.startswith("obj_")
    assert await asker.put(reserved.upload_url, content) == 200
    [served] = (await asker.presign(reserved.ref, verify=True)).objects
    assert (served.ref, served.size_bytes, served.content_type) == (reserved.ref, len(content), content_type)
    assert await asker.get(served.url) == (200, content, content_type)


async def test_another_size_than_announced_is_refused_by_s3_already(scheduler: ScriptedScheduler, asker: Asker) -> None:
    reserved = await asker.reserve(scheduler.a_job(), Purpose.OUTPUT, 10)
    assert await asker.put(reserved.upload_url, b"eleven byte") == 403
    assert await asker.put(reserved.upload_url, b"ten bytes!") == 200


async def test_what_was_never_uploaded_has_no_url(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job()
    there, missing = [await asker.reserve(job, Purpose.OUTPUT, 4) for _ in range(2)]
    await asker.put(there.upload_url, b"text")
    presigned = await asker.presign(missing.ref, "obj_" + "0" * 32, there.ref, "../etc/passwd", "", verify=True)
    assert [found.ref for found in presigned.objects] == [
        missing.ref,
        "obj_" + "0" * 32,
        there.ref,
        "../etc/passwd",
        "",
    ]
    assert [found.url is not None for found in presigned.objects] == [False, False, True, False, False]


async def test_an_object_that_was_served_once_stays_what_it_was(scheduler: ScriptedScheduler, asker: Asker) -> None:
    reserved = await asker.reserve(scheduler.a_job(), Purpose.OUTPUT, 4)
    await asker.put(reserved.upload_url, b"good")
    await asker.presign(reserved.ref, verify=True)
    assert await asker.put(reserved.upload_url, b"evil") == 200
    [served] = (await asker.presign(reserved.ref, verify=True)).objects
    assert (await asker.get(served.url))[1] == b"good"


async def test_many_who_ask_at_once_get_the_same_object(
    scheduler: ScriptedScheduler, asker: Asker, start_blob: StartBlob
) -> None:
    await start_blob()
    reserved = await asker.reserve(scheduler.a_job(), Purpose.TASK, 4)
    await asker.put(reserved.upload_url, b"text")
    answers = await asyncio.gather(*(asker.presign(reserved.ref, verify=True) for _ in range(20)))
    for answer in answers:
        assert (await asker.get(answer.objects[0].url))[1] == b"text"


async def test_verification_notices_an_object_that_has_gone(
    scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    ref = await asker.upload(scheduler.a_job())
    stored = await core.blobs.find(ref.removeprefix("obj_"))
    assert stored is not None
    assert stored.key is not None
    await core.bucket.delete([stored.key])
    [verified] = (await asker.presign(ref, verify=True)).objects
    assert verified.url is None
    [unverified] = (await asker.presign(ref)).objects
    assert (await asker.get(unverified.url))[0] == 404


@pytest.mark.parametrize(
    ("size_bytes", "code"), [(0, FaultCode.INVALID), (-1, FaultCode.INVALID), (67_108_865, FaultCode.TOO_LARGE)]
)
async def test_an_impossible_size_is_refused(
    size_bytes: int, code: FaultCode, scheduler: ScriptedScheduler, asker: Asker
) -> None:
    assert await refused(asker.reserve(scheduler.a_job(), Purpose.TASK, size_bytes)) is code


async def test_files_are_not_reserved_and_accounts_are_plain_words(scheduler: ScriptedScheduler, asker: Asker) -> None:
    assert await refused(asker.reserve(scheduler.a_job(), Purpose.IMAGE, 1)) is FaultCode.INVALID
    assert await refused(asker.reserve(scheduler.a_job(account="../x"), Purpose.TASK, 1)) is FaultCode.INVALID


async def test_over_the_limit_a_task_is_refused_and_what_is_done_never(
    scheduler: ScriptedScheduler, asker: Asker, quota: ScriptedQuota
) -> None:
    job = scheduler.a_job()
    await quota.put("acc1", max_blob_bytes=1_000)
    await asker.reserve(job, Purpose.TASK, 600)
    assert await refused(asker.reserve(job, Purpose.TASK, 600)) is FaultCode.RATE_LIMITED
    assert await asker.reserve(job, Purpose.OUTPUT, 60_000_000)
    assert await asker.reserve(job, Purpose.EVENT, 60_000_000)
    assert await refused(asker.reserve(job, Purpose.TASK, 1)) is FaultCode.RATE_LIMITED


async def test_urls_begin_with_the_public_address(
    blob: Replica, scheduler: ScriptedScheduler, asker: Asker, start_blob: StartBlob, own_s3: S3Server
) -> None:
    await blob.stop()
    await start_blob(s3_public_url="https://files.example.org")
    slot = await asker.create(scheduler.a_job())
    assert slot.upload_url.startswith(f"https://files.example.org/{own_s3.bucket}/acc1/")


async def test_too_many_refs_and_no_time_are_invalid(asker: Asker) -> None:
    assert await refused(asker.presign(*(["obj_x"] * 1_001))) is FaultCode.INVALID
    assert await refused(asker.presign(seconds=0)) is FaultCode.INVALID


async def test_a_file_and_an_output_of_a_job_are_served_together(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job()
    ref = await asker.upload(job)
    reserved = await asker.reserve(job, Purpose.OUTPUT, 4)
    await asker.put(reserved.upload_url, b"text")
    file, output = (await asker.presign(ref, reserved.ref)).objects
    assert (await asker.get(file.url))[1] == PNG
    assert (await asker.get(output.url))[1] == b"text"
