"""A file of a waiting job: slot, upload, confirmation, and everything that can be wrong with it."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_blob.service import Core
from gridloom_contract.blobs import AttachBlob, HoldJob
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.vocabulary import State
from gridloom_testing.servers import S3Server
from integration.blob.conftest import Replica, StartBlob
from integration.blob.scripted import PNG, Asker, ScriptedQuota, ScriptedScheduler, keys_in, now

pytestmark = pytest.mark.usefixtures("blob")


async def refused(asking: object) -> FaultCode:
    with pytest.raises(FaultError) as caught:
        await asking  # type: ignore[misc]
    return caught.value.fault.code


async def test_an_uploaded_image_is_attached_and_served_to_the_worker(
    scheduler: ScriptedScheduler, asker: Asker
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    assert slot.expires_in_seconds == 900
    held = scheduler.jobs[job.job]
    assert (held.state, held.reason) == (State.HELD, "blob")
    assert held.held_until is not None
    assert 895 < (held.held_until - now()).total_seconds() <= 900

    assert await asker.put(slot.upload_url, PNG) == 200
    confirmed = await asker.confirm(slot.blob)
    assert (confirmed.content_type, confirmed.size_bytes) == ("image/png", len(PNG))
    assert scheduler.attached_to(job) == (f"obj_{slot.blob}",)
    assert scheduler.jobs[job.job].state is State.QUEUED

    [served] = (await asker.presign(f"obj_{slot.blob}", verify=True)).objects
    assert (served.content_type, served.size_bytes) == ("image/png", len(PNG))
    assert await asker.get(served.url) == (200, PNG, "image/png")


async def test_confirming_twice_answers_the_same_and_attaches_once(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    first = await asker.confirm(slot.blob)
    assert await asker.confirm(slot.blob) == first
    assert len([order for order in scheduler.orders if isinstance(order, AttachBlob)]) == 1


async def test_confirming_many_times_at_once_answers_the_same_and_leaves_one_object(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    confirmed = await asyncio.gather(*(asker.confirm(slot.blob) for _ in range(8)))
    assert len(set(confirmed)) == 1
    [served] = (await asker.presign(f"obj_{slot.blob}", verify=True)).objects
    assert (await asker.get(served.url))[1] == PNG
    stored = await core.blobs.find(slot.blob)
    assert stored is not None
    left = {key for key in await keys_in(own_s3) if key.startswith(f"acc1/{job.job}/")}
    assert stored.key in left
    assert left <= set(stored.keys)


async def test_what_is_confirmed_cannot_be_changed_with_the_url_any_more(
    scheduler: ScriptedScheduler, asker: Asker
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    await asker.confirm(slot.blob)
    assert await asker.put(slot.upload_url, b"<script>") == 200
    [served] = (await asker.presign(f"obj_{slot.blob}", verify=True)).objects
    assert (await asker.get(served.url))[1] == PNG


async def test_the_job_goes_on_with_its_last_file(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job()
    slots = [await asker.create(job) for _ in range(2)]
    for slot in slots:
        await asker.put(slot.upload_url, PNG)
    await asker.confirm(slots[0].blob)
    assert scheduler.jobs[job.job].state is State.HELD
    await asker.confirm(slots[1].blob)
    assert scheduler.jobs[job.job].state is State.QUEUED
    assert scheduler.attached_to(job) == tuple(f"obj_{slot.blob}" for slot in slots)


async def test_files_confirmed_at_the_same_moment_let_the_job_go_with_all_of_them(
    scheduler: ScriptedScheduler, asker: Asker, start_blob: StartBlob
) -> None:
    await start_blob()  # a second replica: they share the work
    for _ in range(5):
        job = scheduler.a_job()
        slots = await asyncio.gather(*(asker.create(job) for _ in range(4)))
        for slot in slots:
            await asker.put(slot.upload_url, PNG)
        await asyncio.gather(*(asker.confirm(slot.blob) for slot in slots))
        assert scheduler.jobs[job.job].state is State.QUEUED
        assert set(scheduler.attached_to(job)) == {f"obj_{slot.blob}" for slot in slots}
        mine = [order for order in scheduler.orders if order.job == job.job]  # type: ignore[union-attr]
        first_release = next(n for n, order in enumerate(mine) if isinstance(order, AttachBlob) and order.release)
        attached = {order.ref for order in mine[: first_release + 1] if isinstance(order, AttachBlob)}
        assert len(attached) == len(slots), "it was let go before it had all of them"


@pytest.mark.parametrize("state", [State.CLAIMED, State.RUNNING, State.SUCCEEDED, State.CANCELED])
async def test_a_job_that_no_longer_waits_gets_no_slot(
    state: State, scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    job = scheduler.a_job(state=state)
    assert await refused(asker.create(job)) is FaultCode.CONFLICT
    assert (await core.blobs.holdings_of("acc1")).objects == 0


async def test_a_foreign_and_an_unknown_job_look_alike(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job(account="acc2")
    assert await refused(asker.create(job, account="acc1")) is FaultCode.NOT_FOUND
    assert await refused(asker.create(job, account="acc2", job="0" * 32)) is FaultCode.NOT_FOUND
    assert scheduler.jobs[job.job].state is State.QUEUED


async def test_only_images_can_be_attached(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job()
    assert await refused(asker.create(job, blob_type="audio")) is FaultCode.INVALID
    assert scheduler.orders == []


async def test_another_accounts_blob_does_not_exist(scheduler: ScriptedScheduler, asker: Asker) -> None:
    slot = await asker.create(scheduler.a_job())
    await asker.put(slot.upload_url, PNG)
    assert await refused(asker.confirm(slot.blob, account="acc2")) is FaultCode.NOT_FOUND
    assert await refused(asker.confirm("0" * 32)) is FaultCode.NOT_FOUND


async def test_nothing_uploaded_is_a_conflict_and_the_slot_stays(scheduler: ScriptedScheduler, asker: Asker) -> None:
    slot = await asker.create(scheduler.a_job())
    assert await refused(asker.confirm(slot.blob)) is FaultCode.CONFLICT
    await asker.put(slot.upload_url, PNG)
    assert (await asker.confirm(slot.blob)).content_type == "image/png"


async def test_an_unconfirmed_file_is_served_to_nobody(scheduler: ScriptedScheduler, asker: Asker) -> None:
    slot = await asker.create(scheduler.a_job())
    await asker.put(slot.upload_url, PNG)
    [served] = (await asker.presign(f"obj_{slot.blob}", verify=True)).objects
    assert served.url is None


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"\x89PNG", b"%PDF-1.7"])
async def test_what_is_no_image_is_refused_and_another_upload_may_follow(
    content: bytes, scheduler: ScriptedScheduler, asker: Asker
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    assert await asker.put(slot.upload_url, content, **{"Content-Type": "image/png"}) == 200
    assert await refused(asker.confirm(slot.blob)) is FaultCode.UNSUPPORTED_MEDIA
    assert scheduler.attached_to(job) == ()
    await asker.put(slot.upload_url, PNG)
    assert (await asker.confirm(slot.blob)).content_type == "image/png"


async def test_an_image_over_the_limit_is_too_large(scheduler: ScriptedScheduler, asker: Asker) -> None:
    slot = await asker.create(scheduler.a_job())
    await asker.put(slot.upload_url, PNG + bytes(26_214_400))
    assert await refused(asker.confirm(slot.blob)) is FaultCode.TOO_LARGE


async def test_a_large_image_within_the_limit_is_taken(scheduler: ScriptedScheduler, asker: Asker) -> None:
    slot = await asker.create(scheduler.a_job())
    content = PNG + bytes(20_000_000)
    await asker.put(slot.upload_url, content)
    assert (await asker.confirm(slot.blob)).size_bytes == len(content)
    [served] = (await asker.presign(f"obj_{slot.blob}")).objects
    assert (await asker.get(served.url))[1] == content


async def test_a_job_that_was_claimed_meanwhile_does_not_get_the_file(
    scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    scheduler.change(job, state=State.RUNNING)
    assert await refused(asker.confirm(slot.blob)) is FaultCode.CONFLICT
    assert await refused(asker.confirm(slot.blob)) is FaultCode.CONFLICT
    assert (await core.blobs.holdings_of("acc1")).objects == 0


async def test_a_job_that_runs_with_the_file_already_confirms_it(scheduler: ScriptedScheduler, asker: Asker) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    scheduler.change(job, state=State.RUNNING, attachments=(f"obj_{slot.blob}",))
    assert (await asker.confirm(slot.blob)).content_type == "image/png"


async def test_a_changed_or_borrowed_url_is_refused_by_s3(scheduler: ScriptedScheduler, asker: Asker) -> None:
    slot = await asker.create(scheduler.a_job())
    assert await asker.put(slot.upload_url.replace("Signature=", "Signature=0"), PNG) == 403
    assert await asker.put(slot.upload_url.replace("/acc1/", "/acc2/"), PNG) == 403
    assert (await asker.get(slot.upload_url))[0] == 403


async def test_an_expired_url_is_refused_by_s3(
    blob: Replica, scheduler: ScriptedScheduler, asker: Asker, start_blob: StartBlob
) -> None:
    await blob.stop()
    await start_blob(upload_seconds=1)
    slot = await asker.create(scheduler.a_job())
    assert slot.expires_in_seconds == 1
    async with asyncio.timeout(10):
        while await asker.put(slot.upload_url, b"too early") == 200:
            await asyncio.sleep(0.1)
    assert await asker.put(slot.upload_url, PNG) in (400, 403)  # rclone answers 400, AWS 403
    ref = await _a_confirmed_file(scheduler, asker)
    [served] = (await asker.presign(ref, seconds=1)).objects
    async with asyncio.timeout(10):
        while (await asker.get(served.url))[0] == 200:
            await asyncio.sleep(0.1)


async def _a_confirmed_file(scheduler: ScriptedScheduler, asker: Asker) -> str:
    return await asker.upload(scheduler.a_job())


async def test_an_account_keeps_no_more_bytes_than_its_plan_says(
    scheduler: ScriptedScheduler, asker: Asker, quota: ScriptedQuota
) -> None:
    await quota.put("acc1", max_blob_bytes=3 * 26_214_400)
    jobs = [scheduler.a_job() for _ in range(6)]
    results = await asyncio.gather(*(asker.create(job) for job in jobs), return_exceptions=True)
    made = [result for result in results if not isinstance(result, BaseException)]
    assert len(made) <= 3, "an open slot counts with the most it may have"
    codes = {result.fault.code for result in results if isinstance(result, FaultError)}
    assert codes == {FaultCode.RATE_LIMITED}
    held = {order.job for order in scheduler.orders if isinstance(order, HoldJob)}
    assert len(held) == len(made), "a job was held for a slot that it did not get"
    await quota.put("acc1", max_blob_bytes=None)
    assert await asker.create(jobs[0])


async def test_open_slots_objects_and_files_of_a_job_are_limited(
    blob: Replica, scheduler: ScriptedScheduler, asker: Asker, start_blob: StartBlob
) -> None:
    await blob.stop()
    small = await start_blob(max_job_files=2, max_open_slots=4, max_account_objects=5)
    job = scheduler.a_job()
    for _ in range(2):
        await asker.create(job)
    assert await refused(asker.create(job)) is FaultCode.CONFLICT
    for _ in range(2):
        await asker.create(scheduler.a_job())
    assert await refused(asker.create(scheduler.a_job())) is FaultCode.RATE_LIMITED
    await small.stop()
    await start_blob(max_account_objects=5)
    await asker.upload(scheduler.a_job())
    assert await refused(asker.create(scheduler.a_job())) is FaultCode.RATE_LIMITED
    assert await asker.create(scheduler.a_job(account="acc2"))


async def test_without_a_quota_service_the_usual_limits_hold(
    scheduler: ScriptedScheduler, asker: Asker, quota: ScriptedQuota
) -> None:
    await quota.close()
    assert await asker.create(scheduler.a_job())


async def test_without_a_scheduler_there_is_no_slot_and_no_record(
    blob: Replica, scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    job = scheduler.a_job()
    await scheduler.bus.client.drain()
    assert await refused(asker.create(job)) is FaultCode.UNAVAILABLE
    assert (await core.blobs.holdings_of("acc1")).objects == 0
