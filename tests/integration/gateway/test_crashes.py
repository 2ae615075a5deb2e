"""A gateway dies anywhere between taking an `Idempotency-Key` and sending the answer: asked again, there is one job.

Or one batch, and none of its jobs was ever without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError
from msgspec import structs

import gridloom_gateway
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.registry import GATEWAY
from gridloom_contract.vocabulary import State
from gridloom_local.running import Running
from gridloom_local.servers import free_port
from gridloom_testing.clients import JOBS, Answer, ApiClient
from gridloom_testing.crashes import crash_points, processes_of, until_crashed
from integration.gateway.conftest import RunningGateway
from integration.gateway.scripted import ScriptedScheduler

POINTS = crash_points(gridloom_gateway)
BODY = {"model": "m", "prompt": "p"}
KEYED = [point for point in POINTS if point.startswith("gateway.key_")]
BATCHES = "/v1/batches"
CHAT: dict[str, Any] = {
    "endpoint": "/v1/chat/completions",
    "body": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
}
StartDoomed = Callable[[str], tuple[Running, str]]


@pytest.fixture
def start_doomed(gateway: RunningGateway, tmp_path: Path) -> Iterator[StartDoomed]:
    """Starts a second gateway, as a process that ends at a crash point. Returns it and its base URL."""
    with processes_of(GATEWAY, partial(structs.replace, gateway.settings), tmp_path) as start:

        def start_second(point: str) -> tuple[Running, str]:
            port = free_port()
            return start(point, port=port), f"http://127.0.0.1:{port}"

        yield start_second


async def until_it_serves(client: ApiClient) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.call("GET", "/openapi.json")).status == 200:
                    return
            except ClientError:
                await asyncio.sleep(0.05)


async def submit(client: ApiClient) -> Answer:
    return await client.call("POST", JOBS, BODY, key="k")


def test_the_steps_of_a_keyed_request_are_known() -> None:
    assert KEYED == ["gateway.key_answered", "gateway.key_claimed", "gateway.key_used"]
    assert sorted({*POINTS} - {*KEYED}) == ["gateway.batch_recorded", "gateway.batch_taken_in"]


@pytest.mark.parametrize("point", KEYED)
async def test_whoever_asks_again_after_a_crash_gets_the_one_job(
    client: ApiClient, scheduler: ScriptedScheduler, start_doomed: StartDoomed, point: str
) -> None:
    process, url = start_doomed(point)
    async with ApiClient(url, client.key) as doomed:
        await until_it_serves(doomed)
        with pytest.raises(ClientError):
            await submit(doomed)
    await until_crashed(process)
    made_before = list(scheduler.jobs)

    answers = [await submit(client), await submit(client)]

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert len(scheduler.jobs) == 1
    assert made_before == ([] if point == "gateway.key_claimed" else list(scheduler.jobs))


@pytest.mark.parametrize(("point", "jobs"), [("gateway.batch_recorded", 0), ("gateway.batch_taken_in", 2)])
async def test_no_job_of_a_batch_is_without_it_and_asked_again_all_are_there(
    client: ApiClient, scheduler: ScriptedScheduler, start_doomed: StartDoomed, point: str, jobs: int
) -> None:
    scheduler.models.append(ModelEntry(model="m", family="m", workers=1))
    process, url = start_doomed(point)
    async with ApiClient(url, client.key) as doomed:
        await until_it_serves(doomed)
        with pytest.raises(ClientError):
            await doomed.call("POST", BATCHES, {"requests": [CHAT, CHAT]}, key="k")
    await until_crashed(process)
    assert (len(scheduler.bundles), len(scheduler.jobs)) == (1, jobs)

    answer = await client.call("POST", BATCHES, {"requests": [CHAT, CHAT]}, key="k")

    assert (answer.status, answer.body["total"], answer.body["queued"]) == (202, 2, 2)
    assert (len(scheduler.bundles), len(scheduler.jobs)) == (1, 2)
    assert {submission.parent for submission in scheduler.submissions.values()} == set(scheduler.bundles)


async def test_a_batch_of_which_a_job_is_refused_is_forgotten(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    scheduler.models += [ModelEntry(model=model, family=model, workers=1) for model in ("m", "shy")]
    scheduler.refused_models.add("shy")
    shy = CHAT | {"body": CHAT["body"] | {"model": "shy"}}
    assert (await client.call("POST", BATCHES, {"requests": [CHAT, shy]})).status == 404
    assert scheduler.bundles == {}
    assert [job.state for job in scheduler.jobs.values()] == [State.CANCELED]
