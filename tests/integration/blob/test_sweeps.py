"""What becomes of objects in time: kept while a job refers to them, swept when nobody does, removed with their jobs."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from gridloom_blob.record import Phase
from gridloom_blob.service import Core
from gridloom_contract.blobs import PurgeJobData, Purpose
from gridloom_contract.fault import FaultError
from gridloom_contract.files import FileEntry
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_kit.mongo import Database
from gridloom_testing.servers import S3Server
from integration.blob.conftest import StartBlob
from integration.blob.scripted import PNG, Asker, ScriptedQuota, ScriptedScheduler, keys_in, now

pytestmark = pytest.mark.usefixtures("blob")
SOON = timedelta(minutes=16)
LATER = timedelta(minutes=18)
AFTER_AN_HOUR = timedelta(minutes=61)
AFTER_ALL_UPLOADS = timedelta(minutes=76)
AFTER_A_MONTH = timedelta(days=30, minutes=1)


async def keys_of(job: Job, s3: S3Server) -> set[str]:
    return {key for key in await keys_in(s3) if key.startswith(f"{job.account}/{job.job}/")}


async def phase_of(ref: str, core: Core) -> Phase | None:
    found = await core.blobs.find(ref.removeprefix("obj_"))
    return found.phase if found else None


async def until_ended(core: Core, account: str, jobs: int = 1) -> None:
    async with asyncio.timeout(20):
        while len(await core.ended.oldest_of(account, now() + timedelta(days=999), 1000)) < jobs:
            await asyncio.sleep(0.02)


async def test_an_expired_slot_is_swept_with_what_was_uploaded(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    await core.sweeper.sweep(now() + SOON)
    assert await keys_of(job, own_s3), "a confirmation may be under way"
    await core.sweeper.sweep(now() + LATER)
    assert await keys_of(job, own_s3) == set()
    assert await phase_of(slot.blob, core) is Phase.DOOMED


async def keys_of_file(file: FileEntry, s3: S3Server) -> set[str]:
    return {key for key in await keys_in(s3) if key.startswith(f"acc1/{file.file}/")}


async def test_the_bytes_of_an_accounts_file_are_swept_once_it_has_expired(
    asker: Asker, core: Core, own_s3: S3Server
) -> None:
    file = await asker.keep(b"lines", keep_seconds=7_200.0)
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    assert (await asker.get((await asker.kept(file.file)).url))[1] == b"lines"
    await core.sweeper.sweep(now() + timedelta(hours=2, minutes=1))
    assert await keys_of_file(file, own_s3) == set()
    with pytest.raises(FaultError, match="no such file"):
        await asker.kept(file.file)
    await core.sweeper.sweep(now() + timedelta(hours=4))
    assert await core.blobs.find(file.file) is None


async def test_the_bytes_of_a_deleted_file_are_swept_next_and_those_of_others_stay(
    asker: Asker, core: Core, own_s3: S3Server
) -> None:
    kept, deleted = await asker.keep(b"kept"), await asker.keep(b"deleted")
    await asker.delete(deleted.file)
    with pytest.raises(FaultError, match="no such file"):
        await asker.kept(deleted.file)
    await core.sweeper.sweep(now())
    assert await keys_of_file(deleted, own_s3) == set()
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    assert await core.blobs.find(deleted.file) is None
    [key] = await keys_of_file(kept, own_s3)
    assert key == (await core.blobs.find(kept.file)).key  # type: ignore[union-attr]
    assert (await asker.get((await asker.kept(kept.file)).url))[1] == b"kept"


async def test_an_upload_that_arrives_after_its_slot_was_swept_is_swept_too(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await core.sweeper.sweep(now() + LATER)
    assert await asker.put(slot.upload_url, PNG) == 200
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    assert await keys_of(job, own_s3) == set()
    assert await phase_of(slot.blob, core) is None


async def test_an_attached_file_stays_until_its_job_is_purged(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    ref = await asker.upload(job)
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    await core.sweeper.sweep(now() + timedelta(days=20))
    [served] = (await asker.presign(ref, verify=True)).objects
    assert (await asker.get(served.url))[1] == PNG
    assert len(await keys_of(job, own_s3)) == 1


async def test_an_upload_over_a_sealed_file_is_swept_and_the_file_stays(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    await asker.confirm(slot.blob)
    await asker.put(slot.upload_url, b"spare")
    assert len(await keys_of(job, own_s3)) == 2
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    stored = await core.blobs.find(slot.blob)
    assert stored is not None
    assert await keys_of(job, own_s3) == {stored.key} == set(stored.keys)


@pytest.mark.parametrize("is_uploaded", [True, False])
async def test_a_task_whose_job_never_came_is_swept_after_an_hour(
    is_uploaded: bool, scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    reserved = await asker.reserve(job, Purpose.TASK, 4)
    if is_uploaded:
        await asker.put(reserved.upload_url, b"task")
    del scheduler.jobs[job.job]
    await core.sweeper.sweep(now() + timedelta(minutes=59))
    assert await phase_of(reserved.ref, core) is Phase.OPEN
    await core.sweeper.sweep(now() + AFTER_AN_HOUR)
    assert await keys_of(job, own_s3) == set()
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    assert await phase_of(reserved.ref, core) is None


async def test_a_task_whose_job_waits_for_days_is_kept(scheduler: ScriptedScheduler, asker: Asker, core: Core) -> None:
    job = scheduler.a_job(state=State.HELD)
    reserved = await asker.reserve(job, Purpose.TASK, 4)
    await asker.put(reserved.upload_url, b"task")
    scheduler.change(job, task_ref=reserved.ref)
    for days in (0.05, 1, 9, 20):
        await core.sweeper.sweep(now() + timedelta(days=days))
    [served] = (await asker.presign(reserved.ref)).objects
    assert (await asker.get(served.url))[1] == b"task"


async def test_an_output_of_a_lost_attempt_is_swept_once_the_job_has_another(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job(state=State.RUNNING)
    lost, good = [await asker.reserve(job, Purpose.OUTPUT, 4) for _ in range(2)]
    for reserved in (lost, good):
        await asker.put(reserved.upload_url, b"text")
    await asker.presign(good.ref, verify=True)
    await core.sweeper.sweep(now() + AFTER_AN_HOUR)
    assert await phase_of(lost.ref, core) is Phase.OPEN, "the job still runs: who knows which it will be"
    scheduler.change(job, state=State.SUCCEEDED, output_ref=good.ref, ended_at=now())
    await core.sweeper.sweep(now() + 2 * AFTER_AN_HOUR)
    await core.sweeper.sweep(now() + 3 * AFTER_AN_HOUR)
    assert await phase_of(lost.ref, core) is None
    assert await phase_of(good.ref, core) is Phase.ATTACHED
    assert len(await keys_of(job, own_s3)) == 1


async def test_the_body_of_a_webhook_stays_as_long_as_the_data_of_its_job(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job(state=State.SUCCEEDED)
    body = await asker.reserve(job, Purpose.EVENT, 2)
    await asker.put(body.upload_url, b"{}")
    await asker.presign(body.ref)
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    [served] = (await asker.presign(body.ref, verify=True)).objects
    assert (await asker.get(served.url))[1:] == (b"{}", "application/json")
    scheduler.change(job, data_removed=True)
    await core.sweeper.sweep(now() + timedelta(days=31))
    assert await keys_of(job, own_s3) == set()


async def test_a_reference_to_what_was_never_uploaded_is_given_up(
    scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    job = scheduler.a_job()
    reserved = await asker.reserve(job, Purpose.TASK, 4)
    scheduler.change(job, task_ref=reserved.ref)
    await core.sweeper.sweep(now() + AFTER_AN_HOUR)
    assert await phase_of(reserved.ref, core) is Phase.DOOMED


async def test_inputs_and_outputs_are_removed_a_month_after_the_job_ended(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server, database: Database
) -> None:
    job = scheduler.a_job()
    ref = await asker.upload(job)
    reserved = await asker.reserve(job, Purpose.OUTPUT, 4)
    await asker.put(reserved.upload_url, b"text")
    await asker.presign(reserved.ref, verify=True)
    ended = now()
    await scheduler.end(job, ended, output_ref=reserved.ref)
    await until_ended(core, "acc1")

    await core.retention.sweep(ended + timedelta(days=29))
    assert not scheduler.jobs[job.job].data_removed

    month = ended + AFTER_A_MONTH
    await core.retention.sweep(month)
    assert scheduler.jobs[job.job].data_removed
    await core.sweeper.sweep(month)
    assert await keys_of(job, own_s3) == set()
    assert [one.url for one in (await asker.presign(ref, reserved.ref)).objects] == [None, None]
    await core.sweeper.sweep(month + AFTER_AN_HOUR)
    assert await database["blobs"].count_documents({}) == 0
    assert await database["ended_jobs"].count_documents({}) == 0


async def test_a_job_without_objects_is_purged_too(
    scheduler: ScriptedScheduler, core: Core, database: Database
) -> None:
    ended, jobs = now(), [scheduler.a_job() for _ in range(30)]
    for job in jobs:
        await scheduler.end(job, ended)
    await until_ended(core, "acc1", len(jobs))
    await core.retention.sweep(ended + AFTER_A_MONTH)
    assert all(scheduler.jobs[job.job].data_removed for job in jobs)
    assert len([order for order in scheduler.orders if isinstance(order, PurgeJobData)]) == 1
    assert await database["ended_jobs"].count_documents({}) == 0


async def test_the_plan_says_how_long(scheduler: ScriptedScheduler, core: Core, quota: ScriptedQuota) -> None:
    ended = now()
    short, usual, long = (scheduler.a_job(account=account) for account in ("short", "usual", "long"))
    await quota.put("short", retention_days=1)
    await quota.put("long", retention_days=90)
    for job in (short, usual, long):
        await scheduler.end(job, ended)
        await until_ended(core, job.account)

    async def removed_after(days: float) -> list[str]:
        await core.retention.sweep(ended + timedelta(days=days))
        return [job.account for job in (short, usual, long) if scheduler.jobs[job.job].data_removed]

    assert await removed_after(0.9) == []
    assert await removed_after(1.1) == ["short"]
    assert await removed_after(30.1) == ["short", "usual"]
    assert await removed_after(90.1) == ["short", "usual", "long"]


async def test_a_plan_that_changes_holds_for_jobs_that_ended_before(
    scheduler: ScriptedScheduler, core: Core, quota: ScriptedQuota
) -> None:
    ended, job = now(), scheduler.a_job()
    await scheduler.end(job, ended)
    await until_ended(core, "acc1")
    await quota.put("acc1", retention_days=60)
    await core.retention.sweep(ended + AFTER_A_MONTH)
    assert not scheduler.jobs[job.job].data_removed
    await quota.put("acc1", retention_days=7)
    await core.bus.flush()
    core.plans._known.clear()  # the news goes to running services; this one is only their insides
    await core.retention.sweep(ended + timedelta(days=8))
    assert scheduler.jobs[job.job].data_removed


async def test_while_nobody_knows_the_plan_nothing_is_removed(
    scheduler: ScriptedScheduler, core: Core, quota: ScriptedQuota
) -> None:
    ended, job = now(), scheduler.a_job()
    await scheduler.end(job, ended)
    await until_ended(core, "acc1")
    await quota.close()
    await core.retention.sweep(ended + timedelta(days=365))
    assert not scheduler.jobs[job.job].data_removed
    await quota.open()
    await core.retention.sweep(ended + timedelta(days=365))
    assert scheduler.jobs[job.job].data_removed


async def test_a_job_that_was_retried_keeps_its_data_a_month_from_its_last_end(
    scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    first_end: datetime = now()
    job = scheduler.a_job()
    ref = await asker.upload(job)
    await scheduler.end(job, first_end)
    await until_ended(core, "acc1")
    scheduler.change(job, state=State.RUNNING, ended_at=None)
    await core.retention.sweep(first_end + AFTER_A_MONTH)
    assert await phase_of(ref, core) is Phase.ATTACHED

    second_end = first_end + timedelta(days=31)
    await scheduler.end(job, second_end, seq=9)
    await until_ended(core, "acc1")
    await core.retention.sweep(second_end + timedelta(days=29))
    assert await phase_of(ref, core) is Phase.ATTACHED
    await core.retention.sweep(second_end + AFTER_A_MONTH)
    assert await phase_of(ref, core) is Phase.DOOMED


async def test_an_end_that_is_told_again_and_late_does_not_prolong_or_shorten_anything(
    scheduler: ScriptedScheduler, core: Core, database: Database
) -> None:
    ended, job = now(), scheduler.a_job()
    first = await scheduler.end(job, ended)
    second = await scheduler.end(job, ended + timedelta(days=3), seq=9)
    await scheduler.tell(first, second, again="-again")
    await scheduler.tell(first, again="-late")
    last = scheduler.a_job(account="last")
    await scheduler.end(last, ended)
    await until_ended(core, "last")
    document = await database["ended_jobs"].find_one({"_id": job.job})
    assert document is not None
    assert abs((document["ended_at"] - second.at).total_seconds()) < 0.001


async def test_an_end_that_nobody_told_is_found_by_asking(
    scheduler: ScriptedScheduler, asker: Asker, core: Core
) -> None:
    job = scheduler.a_job()
    ref = await asker.upload(job)
    await core.sweeper.sweep(now() + AFTER_ALL_UPLOADS)
    scheduler.change(job, state=State.SUCCEEDED, ended_at=now())
    await core.sweeper.sweep(now() + timedelta(days=8))
    await core.retention.sweep(now() + AFTER_A_MONTH)
    assert await phase_of(ref, core) is Phase.DOOMED


async def test_several_replicas_sweep_together(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server
) -> None:
    job = scheduler.a_job()
    for _ in range(16):
        slot = await asker.create(job)
        await asker.put(slot.upload_url, PNG)
    await asyncio.gather(*(core.sweeper.sweep(now() + LATER) for _ in range(4)))
    assert await keys_of(job, own_s3) == set()
    await asyncio.gather(*(core.sweeper.sweep(now() + AFTER_ALL_UPLOADS) for _ in range(4)))
    assert (await core.blobs.due(now() + timedelta(days=999), 100)) == []


async def test_a_running_service_sweeps_by_itself(
    scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server, start_blob: StartBlob
) -> None:
    # The other replica of this module sweeps once a minute: it does not get to it.
    await start_blob(sweep_seconds=0.1)
    job = scheduler.a_job()
    slot = await asker.create(job)
    await asker.put(slot.upload_url, PNG)
    found = await core.blobs.find(slot.blob)
    assert found is not None
    await core.blobs.postpone(found, now())
    async with asyncio.timeout(20):
        while await phase_of(slot.blob, core) is not Phase.DOOMED:
            await asyncio.sleep(0.05)
        while await keys_of(job, own_s3):  # doomed first, so that a crash in between leaves nothing for ever
            await asyncio.sleep(0.05)
