"""The whole grid as a test gets it: a job runs through it, and the checker agrees."""

from __future__ import annotations

import pytest

from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_kit.mongo import open_database
from gridloom_local.running import ServerFailedError
from gridloom_testing.checker import assert_all_ended_once
from gridloom_testing.clients import hostile_worker


async def test_a_job_runs_through_the_grid_and_its_history_is_sound(grid):
    async with grid.client() as client:
        job = await client.submit()
        document = await client.ended(job)
    assert document["status"] == "completed"
    async with open_database(grid.mongo.url_of("admin", grid.database), grid.database) as database:
        await assert_all_ended_once(database, grid.nats, [job])


async def test_the_stream_and_the_timeline_tell_the_same_job(grid):
    async with grid.client() as client:
        job = await client.submit()
        names = [event.name async for event in client.stream(job)]
        told = [fact["type"] for fact in await client.timeline(job)]
    assert names[-1] == "done"
    assert told


async def test_an_enrolled_worker_is_admitted_and_a_made_up_one_is_not(grid):
    async with hostile_worker(grid.nats, grid.enrol()) as probe:
        assert not await probe.may_subscribe("work.>")


async def test_killed_services_come_back(own_grid):
    scheduler = own_grid.start(SCHEDULER)
    own_grid.start(QUOTA)
    own_grid.start(GATEWAY)
    await own_grid.until_ready()
    scheduler.kill()
    own_grid.start(SCHEDULER)
    await own_grid.until_ready()
    own_grid.start(WORKER, own_grid.enrol(), synthetic_tokens=3)
    await own_grid.until_ready()
    async with own_grid.client() as client:
        assert (await client.ended(await client.submit()))["status"] == "completed"


def test_a_service_with_a_wrong_setting_shows_why_it_ended(own_grid):
    own_grid.start(GATEWAY, no_such_setting=1)
    with pytest.raises(ServerFailedError, match="NO_SUCH_SETTING"):
        own_grid.wait_until_ready()
