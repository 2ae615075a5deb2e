"""The blob service dies at every step, as a process: no object stays without a record, no record without an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

import gridloom_blob
from gridloom_blob.service import Core
from gridloom_contract.blobs import PresignObjects, Purpose
from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Job
from gridloom_contract.registry import BLOB
from gridloom_contract.vocabulary import State
from gridloom_kit.mongo import Database
from gridloom_testing.crashes import StartProcess, crash_points, processes_of, until_crashed
from gridloom_testing.servers import S3Server
from integration.blob.conftest import SettingsFor, StartBlob
from integration.blob.scripted import PNG, Asker, ScriptedScheduler, keys_in, now

POINTS = crash_points(gridloom_blob)
HURRY = {
    "upload_seconds": 2,
    "settle_seconds": 0.3,
    "late_upload_seconds": 2.0,
    "orphan_seconds": 2.0,
    "recheck_seconds": 0.5,
    "sweep_seconds": 0.1,
    "retention_days": 4 / 86_400,
    "retention_sweep_seconds": 0.1,
}


@pytest.fixture
def start_process(blob_settings: SettingsFor, tmp_path: Path) -> Iterator[StartProcess]:
    """Starts the service as a process that dies at a crash point."""
    with processes_of(BLOB, blob_settings, tmp_path) as start:
        yield start


@dataclass(frozen=True)
class Scene:
    """All that a crash takes."""

    scheduler: ScriptedScheduler
    asker: Asker
    core: Core
    s3: S3Server
    database: Database


@pytest.fixture
async def scene(scheduler: ScriptedScheduler, asker: Asker, core: Core, own_s3: S3Server, database: Database) -> Scene:
    return Scene(scheduler, asker, core, own_s3, database)


@asynccontextmanager
async def lived(scene: Scene) -> AsyncIterator[None]:
    """Let clients, gateway, scheduler and workers do what they do meanwhile."""
    async with asyncio.TaskGroup() as tasks:
        life = tasks.create_task(_live(scene))
        yield
        life.cancel()


async def _live(scene: Scene) -> None:
    """Whoever is not answered goes on with the next."""
    while True:
        job = scene.scheduler.a_job()
        with suppress(FaultError, aiohttp.ClientError):
            await _files(scene, job)
        with suppress(FaultError, aiohttp.ClientError):
            await _objects(scene, job)
        await scene.scheduler.end(job, now())
        await asyncio.sleep(0.2)


async def _files(scene: Scene, job: Job) -> None:
    abandoned = await scene.asker.create(scene.scheduler.a_job())
    await scene.asker.put(abandoned.upload_url, PNG)
    slots = [await scene.asker.create(job) for _ in range(2)]
    for slot in slots:
        await scene.asker.put(slot.upload_url, PNG)
    for slot in slots:
        await scene.asker.confirm(slot.blob)
    await scene.asker.put(slots[0].upload_url, b"spare")


async def _objects(scene: Scene, job: Job) -> None:
    lost = await scene.asker.reserve(job, Purpose.OUTPUT, 4)
    await scene.asker.put(lost.upload_url, b"lost")
    output = await scene.asker.reserve(job, Purpose.OUTPUT, 4)
    await scene.asker.put(output.upload_url, b"text")
    [found] = (await scene.asker.presign(output.ref, verify=True)).objects
    if found.url:
        scene.scheduler.change(job, output_ref=output.ref)


async def expect_everything_accounted_for(scene: Scene) -> None:
    """Every key in the bucket is in the record, and what a job refers to can be had."""
    recorded = {key async for blob in scene.database["blobs"].find() for key in blob["keys"]}
    assert set(await keys_in(scene.s3)) <= recorded
    for job in list(scene.scheduler.jobs.values()):
        refs = [ref for ref in (*job.attachments, job.output_ref) if ref]
        served = (await scene.core.objects.on_presign(_verifying(refs))).objects
        for one in served:
            assert (await scene.asker.get(one.url))[1] in (PNG, b"text"), "a job refers to what cannot be had"


def _verifying(refs: list[str]) -> PresignObjects:
    return PresignObjects(refs=tuple(refs), verify=True)


async def expect_an_end_of_everything(scene: Scene) -> None:
    """When all jobs have ended and a month has passed, nothing is left: not in the bucket, not in the record."""
    for job in list(scene.scheduler.jobs.values()):
        if job.state is not State.SUCCEEDED:
            scene.scheduler.change(job, state=State.SUCCEEDED, ended_at=now())
    for days in (0.1, 0.2, 8, 16, 40, 41):
        await scene.core.sweeper.sweep(now() + timedelta(days=days))
        await scene.core.retention.sweep(now() + timedelta(days=days))
    assert await keys_in(scene.s3) == set()
    assert await scene.database["blobs"].count_documents({}) == 0
    async with asyncio.timeout(10):  # of an ending that was in hand when the service died, the next one hears late
        while await scene.database["ended_jobs"].count_documents({}):
            await scene.core.retention.sweep(now() + timedelta(days=41))


def test_there_is_a_crash_point_between_any_two_writes() -> None:
    assert POINTS == [
        "blob.attached",
        "blob.copied",
        "blob.doomed",
        "blob.erased",
        "blob.given",
        "blob.job_held",
        "blob.jobs_purged",
        "blob.key_added",
        "blob.objects_doomed",
        "blob.removed",
        "blob.reserved",
        "blob.sealed",
        "blob.spares_deleted",
    ]


@pytest.mark.parametrize("name", POINTS)
async def test_a_crash_leaves_nothing_without_record_or_end(
    name: str, scene: Scene, start_process: StartProcess, start_blob: StartBlob
) -> None:
    dying = start_process(f"{name}:{random.randint(1, 4)}", **HURRY)
    await scene.asker.until_answered()
    async with lived(scene):
        await until_crashed(dying, within_seconds=60)

    await start_blob()
    await expect_everything_accounted_for(scene)
    await expect_an_end_of_everything(scene)


async def test_a_service_that_is_killed_again_and_again_leaves_nothing_without_record_or_end(
    scene: Scene, start_process: StartProcess, start_blob: StartBlob
) -> None:
    async with lived(scene):
        for _ in range(3):
            process = start_process(**HURRY)
            await scene.asker.until_answered()
            await asyncio.sleep(0.5 + random.random())  # anywhere in its work
            process.kill()
    await start_blob()
    await expect_everything_accounted_for(scene)
    await expect_an_end_of_everything(scene)


@pytest.mark.parametrize("name", ["blob.key_added", "blob.copied", "blob.sealed", "blob.given", "blob.attached"])
async def test_a_confirmation_that_a_crash_cut_off_is_repeated_and_holds(
    name: str, scene: Scene, start_process: StartProcess, start_blob: StartBlob
) -> None:
    dying = start_process(name)
    await scene.asker.until_answered()
    job = scene.scheduler.a_job()
    slot = await scene.asker.create(job)
    await scene.asker.put(slot.upload_url, PNG)
    async with asyncio.TaskGroup() as tasks:
        cut_off = tasks.create_task(scene.asker.confirm(slot.blob))
        await until_crashed(dying)
        cut_off.cancel()
    await start_blob()
    assert (await scene.asker.confirm(slot.blob)).content_type == "image/png"
    assert scene.scheduler.attached_to(job) == (f"obj_{slot.blob}",)
    assert scene.scheduler.jobs[job.job].state is State.QUEUED
    await expect_everything_accounted_for(scene)
    await expect_an_end_of_everything(scene)
