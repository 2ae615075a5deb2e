"""The hot path: shared requests, nothing lost, nothing doubled, whatever the scheduler does."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_testing.clients import JOBS, Answer, ApiClient
from integration.gateway.conftest import OpenGateway, RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler

BODY = {"model": "m", "prompt": "Say hello"}


async def test_concurrent_submissions_share_requests(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    answers = await asyncio.gather(*(client.call("POST", JOBS, BODY) for _ in range(200)))

    assert {answer.status for answer in answers} == {201}
    accepted = {answer.body["job_id"].replace("-", "") for answer in answers}
    assert accepted == {job for batch in scheduler.batches for job in batch} == set(scheduler.jobs)
    assert len(scheduler.batches) < 150


async def test_a_batch_never_exceeds_what_the_bus_carries(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    large = BODY | {"prompt": "x" * 250_000}

    answers = await asyncio.gather(*(client.call("POST", JOBS, large) for _ in range(20)))

    assert {answer.status for answer in answers} == {201}
    assert len(scheduler.jobs) == 20
    assert max(map(len, scheduler.batches)) <= 4


async def test_without_a_blob_service_large_jobs_wait_outside_and_small_ones_go_on(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    large, small = await asyncio.gather(
        client.call("POST", JOBS, BODY | {"prompt": "x" * 270_000}), client.call("POST", JOBS, BODY)
    )

    assert (large.status, large.body["error"], small.status) == (503, "unavailable", 201)
    assert int(large.headers["Retry-After"]) > 0
    assert "256 KiB" in large.body["message"]
    assert list(scheduler.jobs) == [small.body["job_id"].replace("-", "")]


async def test_a_submission_waits_for_a_scheduler_that_comes_back(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    await scheduler.leave()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(client.call("POST", JOBS, BODY)) for _ in range(20)]
        await asyncio.sleep(0.5)
        await scheduler.arrive()

    assert {one.result().status for one in waiting} == {201}
    assert len(scheduler.jobs) == 20
    offered = [job for batch in scheduler.batches for job in batch]
    assert sorted(offered) == sorted(scheduler.jobs)


async def test_an_answer_that_was_lost_does_not_double_the_job(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    scheduler.answers_to_lose = 1

    answer = await client.call("POST", JOBS, BODY)

    assert answer.status == 201
    assert list(scheduler.jobs) == [answer.body["job_id"].replace("-", "")]
    assert len(scheduler.batches) == 2
    assert scheduler.batches[0] == scheduler.batches[1]


async def test_without_a_scheduler_the_client_is_told_to_come_back(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(submit_deadline_seconds=0.5)
    tenant: Tenant = await gateway.tenant()
    await scheduler.leave()

    async with ApiClient(gateway.url, tenant.key) as client:
        answers: list[Answer] = await asyncio.gather(*(client.call("POST", JOBS, BODY) for _ in range(5)))

    assert {answer.status for answer in answers} == {503}
    assert {answer.body["error"] for answer in answers} == {"unavailable"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)


async def test_a_gateway_that_stops_finishes_what_it_has_in_hand(
    gateway: RunningGateway, client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    await scheduler.leave()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(client.call("POST", JOBS, BODY))
        await asyncio.sleep(0.3)
        gateway.stop.set()
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", gateway.settings.port)
        await scheduler.arrive()

    assert waiting.result().status == 201


async def test_other_questions_are_answered_503_without_a_scheduler(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    await scheduler.leave()

    answer = await client.call("GET", JOBS)

    assert (answer.status, answer.body["error"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers
