"""Files of jobs through every real process: what the engine sees, who waits for what, and what is left in the end."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.shelf import MODEL, Shelf, open_shelf
from e2e.stack_commands import Command
from e2e.uploads import BLOBS, JPEG, PNG, attached, confirmation, put, sees_images, sight, slot_for, uploaded
from gridloom_contract.registry import BLOB, GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_domain import ids
from gridloom_kit.objects import open_objects
from gridloom_local.home import Home
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import JOBS, Answer, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from integration.worker.rude_engine import GOOD_STREAM, RudeEngine, rude_engine, streams

SEEING = "llava:7b"
HANGING = "[[hang]]"
QUIET = "[[tokens=0]]"
"""The answer is what the engine saw, and nothing else."""
MAX_IMAGE_BYTES = 100_000


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that takes files, small ones only."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("files")) as opened:
        opened.start(BLOB, max_image_bytes=MAX_IMAGE_BYTES)
        opened.start_all()
        yield opened


@pytest.fixture(scope="module")
def shelf(grid: Grid) -> Shelf:
    """A drained worker: what is submitted for its model waits."""
    shelf = open_shelf(grid)
    shelf.drain()
    return shelf


@pytest.fixture
async def client(grid: Grid) -> AsyncIterator[ApiClient]:
    """A client of a new account, whose waiting jobs stand in nobody's way afterwards."""
    async with grid.client() as client:
        yield client
        await client.call("DELETE", f"{JOBS}/cancel_all")


@pytest.fixture
async def engine(grid: Grid) -> AsyncIterator[RudeEngine]:
    """An engine whose model takes images, and a worker that serves it."""
    async with rude_engine(chat=streams(*GOOD_STREAM), models=sees_images(SEEING)) as engine:
        worker = grid.start(WORKER, grid.enrol(), engine="openai_http", url=engine.url, models=SEEING)
        await grid.until_ready()
        yield engine
        await asyncio.to_thread(worker.kill)


async def types_of(client: ApiClient, job: str) -> list[str]:
    """Return what happened to a job."""
    return [event["type"] for event in await client.timeline(job)]


async def test_the_engine_sees_exactly_the_image_of_the_documented_sequence(
    client: ApiClient, engine: RudeEngine
) -> None:
    job = await client.submit(model=SEEING, prompt="What is this?")

    slot = await slot_for(client, job, blob_type="image")
    waiting = await client.job(job)
    status = await put(slot.body["upload_url"], PNG)
    confirmed = await confirmation(client, slot)
    document = await client.ended(job)

    assert (slot.status, slot.body["expires_in"], status, confirmed.status) == (201, 900, 200, 200)
    assert (waiting["status"], waiting["waiting_for"]) == ("pending", "blob")
    assert confirmed.body == {
        "status": "confirmed",
        "blob_id": slot.body["blob_id"],
        "content_type": "image/png",
        "size_bytes": len(PNG),
    }
    assert (document["status"], document["output"]) == ("completed", "Hello")
    url = f"data:image/png;base64,{b64encode(PNG).decode()}"
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    assert engine.bodies[0]["messages"] == [{"role": "user", "content": parts}]
    assert [kind for kind in await types_of(client, job) if kind in ("attached", "released")] == [
        "attached",
        "released",
    ]


async def test_a_job_that_expects_files_starts_with_the_last_of_them(client: ApiClient) -> None:
    job = await client.submit(prompt=QUIET, expect_blobs=2)

    await attached(client, job, PNG)
    between = await client.job(job)
    await attached(client, job, JPEG)
    document = await client.ended(job)

    assert between["waiting_for"] == "blob"
    assert document["output"] == f"{sight(PNG)} {sight(JPEG, 'image/jpeg')} "


async def test_a_job_that_can_have_no_image_is_not_kept_waiting_for_one(client: ApiClient) -> None:
    job = await client.submit(prompt=QUIET)
    await client.ended(job)

    assert await types_of(client, job) == ["accepted", "assigned", "started", "finished"]


async def test_what_is_no_image_is_refused_and_another_upload_may_be_tried(client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(model=MODEL)
    slot = await uploaded(client, job, b"<svg xmlns='http://www.w3.org/2000/svg'>")

    refused = await confirmation(client, slot)
    await put(slot.body["upload_url"], PNG + bytes(MAX_IMAGE_BYTES))
    too_large = await confirmation(client, slot)
    await put(slot.body["upload_url"], PNG)
    taken = await confirmation(client, slot)
    again = await confirmation(client, slot)

    assert (refused.status, refused.body["error"]) == (415, "unsupported_media")
    assert (too_large.status, too_large.body["error"]) == (413, "too_large")
    assert (taken.status, taken.body) == (200, again.body)
    assert (await types_of(client, job)).count("attached") == 1


async def test_a_confirmation_without_an_upload_is_a_conflict(client: ApiClient, shelf: Shelf) -> None:
    slot = await slot_for(client, await client.submit(model=MODEL))

    answer = await confirmation(client, slot)

    assert (answer.status, answer.body["error"]) == (409, "conflict")


async def test_a_job_that_is_over_or_under_way_takes_no_file(client: ApiClient, shelf: Shelf) -> None:
    running, canceled = await client.submit(prompt=HANGING), await client.submit(model=MODEL)
    slot = await uploaded(client, canceled)
    await client.call("DELETE", f"{JOBS}/{canceled}")
    await client.until(running, "running")

    answers = [await slot_for(client, running), await slot_for(client, canceled), await confirmation(client, slot)]

    assert [answer.status for answer in answers] == [409, 409, 409]
    await client.call("POST", f"{JOBS}/{running}/cancel")


async def test_another_accounts_jobs_and_files_do_not_exist(grid: Grid, client: ApiClient, shelf: Shelf) -> None:
    job, unknown = await client.submit(model=MODEL), ids.as_uuid(a_job_id())
    slot = await uploaded(client, job)

    async with grid.client() as stranger:
        theirs = [await slot_for(stranger, job), await confirmation(stranger, slot)]
        nobodys = [await slot_for(stranger, unknown), await stranger.call("POST", f"{BLOBS}/{unknown}/confirm")]

    assert [answer.status for answer in theirs] == [404, 404]
    assert [_told(answer.body) for answer in theirs] == [_told(answer.body) for answer in nobodys]
    assert (await confirmation(client, slot)).status == 200


async def test_while_s3_is_down_files_are_refused_for_now_and_jobs_go_on(
    grid: Grid, client: ApiClient, shelf: Shelf
) -> None:
    waiting = await client.submit(model=MODEL)
    open_slot = await uploaded(client, waiting)
    grid.s3.kill()
    try:
        small = await client.ended(await client.submit(prompt="hello"))
        refused = [await _refused_slot(client, waiting), await confirmation(client, open_slot)]
    finally:
        grid.s3.start()

    assert small["status"] == "completed"
    assert [answer.status for answer in refused] == [503, 503]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert (await confirmation(client, open_slot)).status == 200


async def test_a_job_whose_worker_finds_s3_down_loses_nothing(grid: Grid, client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(model=MODEL, prompt=QUIET)
    await attached(client, job)
    grid.s3.kill()
    try:
        shelf.resume()
        await client.reached(job, "assigned")
    finally:
        grid.s3.start()

    document = await client.ended(job)
    shelf.drain()

    assert (document["status"], document["output"]) == ("completed", f"{sight(PNG)} ")


async def test_a_job_whose_image_vanished_fails_and_says_why(grid: Grid, client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(model=MODEL, prompt=QUIET)
    await attached(client, job)
    async with open_objects(grid.s3.endpoint_url, grid.s3.access_key, grid.s3.secret_key) as bucket:
        for found in (await bucket.list_objects_v2(Bucket=grid.s3.bucket))["Contents"]:
            await bucket.delete_object(Bucket=grid.s3.bucket, Key=found["Key"])
    shelf.resume()

    document = await client.ended(job)
    shelf.drain()

    assert (document["status"], document["attempts"]) == ("failed", 1)
    assert "there no more" in document["error"]
    finished = (await client.timeline(job))[-1]
    assert (finished["reason"], finished["fault"]["code"]) == ("input_lost", "not_found")


async def test_a_confirmation_survives_the_death_of_the_blob_service(grid: Grid, client: ApiClient) -> None:
    job = await client.submit(prompt=QUIET, expect_blobs=1)
    slot = await uploaded(client, job)
    for process in [each for name, each in grid.processes.items() if name.startswith(BLOB) and each.is_alive]:
        await asyncio.to_thread(process.kill)

    refused = await confirmation(client, slot)
    grid.start(BLOB, max_image_bytes=MAX_IMAGE_BYTES)
    await grid.until_ready()
    confirmed = await confirmation(client, slot)

    assert (refused.status, confirmed.status) == (503, 200)
    assert (await client.ended(job))["output"] == f"{sight(PNG)} "


async def test_the_command_submits_a_job_with_its_images(grid: Grid, client: ApiClient, tmp_path: Path) -> None:
    command = Command(Home(tmp_path), more={"GRIDLOOM_URL": grid.url, "GRIDLOOM_API_KEY": client.key})
    picture, photo, text = (tmp_path / name for name in ("one.png", "two.jpg", "three.png"))
    picture.write_bytes(PNG)
    photo.write_bytes(JPEG)
    text.write_bytes(b"no picture")
    wish = ("jobs", "submit", QUIET, "--model", "synthetic", "--watch")

    seen, refused = await asyncio.to_thread(
        lambda: (
            command.succeed(*wish, "--image", str(picture), "--image", str(photo)),
            command.run(*wish, "--image", str(text)),
        )
    )

    assert seen == f"{sight(PNG)} {sight(JPEG, 'image/jpeg')} \n"
    assert (refused.returncode, "is no image" in refused.stderr) == (1, True)
    assert (await client.call("GET", JOBS)).body["total"] == 1


async def test_the_command_leaves_no_job_behind_whose_image_the_grid_refuses(
    grid: Grid, client: ApiClient, tmp_path: Path
) -> None:
    command = Command(Home(tmp_path), more={"GRIDLOOM_URL": grid.url, "GRIDLOOM_API_KEY": client.key})
    (tmp_path / "huge.png").write_bytes(PNG + bytes(MAX_IMAGE_BYTES))
    wish = ("jobs", "submit", QUIET, "--model", "synthetic", "--image", str(tmp_path / "huge.png"))

    refused = await asyncio.to_thread(lambda: command.run(*wish))

    [job] = (await client.call("GET", JOBS)).body["jobs"]
    assert (refused.returncode, "413" in refused.stderr, job.get("cancelled")) == (4, True, True)


@pytest.fixture
def hasty_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid in which files have three seconds to come, and are kept for as long after the end of their job."""
    hurry = {"sweep_seconds": 0.5, "retention_sweep_seconds": 0.5, "late_upload_seconds": 0, "settle_seconds": 1}
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("hasty")) as opened:
        opened.start(SCHEDULER, files_hold_seconds=3)
        opened.start(BLOB, upload_seconds=3, retention_days=3 / 86_400, **hurry)
        opened.start(QUOTA)
        opened.start(GATEWAY)
        opened.wait_until_ready()
        opened.start(WORKER, opened.enrol())
        opened.wait_until_ready()
        yield opened


async def test_what_nobody_confirms_and_what_is_too_old_leaves_nothing_behind(hasty_grid: Grid) -> None:
    async with hasty_grid.client() as client:
        kept, forgotten = [await client.submit(prompt=prompt, expect_blobs=1) for prompt in (QUIET, HANGING)]
        await attached(client, kept)
        slot = await uploaded(client, forgotten)

        assert (await client.ended(kept))["output"] == f"{sight(PNG)} "
        await client.until(forgotten, "running")
        late = await confirmation(client, slot)
        await client.call("POST", f"{JOBS}/{forgotten}/cancel")
        purged = [await _until_removed(client, job) for job in (kept, forgotten)]
        retried = await client.call("POST", f"{JOBS}/{forgotten}/retry")

        assert (late.status, retried.status) == (409, 409)
        assert [(job["status"], job.get("output")) for job in purged] == [("completed", None), ("failed", None)]
        assert (await types_of(client, kept))[-1] == "purged"
    await _until_empty(hasty_grid)


async def _refused_slot(client: ApiClient, job: str) -> Answer:
    """What the blob service saw of S3 a moment ago, it believes for a moment."""
    async with asyncio.timeout(20):
        while (answer := await slot_for(client, job)).status == 201:
            await asyncio.sleep(0.2)
    return answer


async def _until_removed(client: ApiClient, job: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not (document := await client.job(job)).get("data_removed"):
            await asyncio.sleep(0.2)
    return document


async def _until_empty(grid: Grid) -> None:
    s3 = grid.s3
    async with open_objects(s3.endpoint_url, s3.access_key, s3.secret_key) as bucket, asyncio.timeout(20):
        while (await bucket.list_objects_v2(Bucket=s3.bucket)).get("Contents"):
            await asyncio.sleep(0.2)


def _told(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}
