"""The record itself may crash: what was answered with 201 is journaled, and what was not is not promised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
import pytest

from chaos.gate import open_gate
from chaos.recovery import recovering
from chaos.scene import PATIENCE_SECONDS, Scene, open_scene
from gridloom_contract.registry import SCHEDULER
from gridloom_domain.ids import from_base32
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

SUBMITTERS = 10
CHAT = "/v1/chat/completions"
POLL_SECONDS = 0.03


@pytest.fixture
def own_mongo(infra: Infra) -> Iterator[MongoServer]:
    """A mongod that only this test uses."""
    mongo = infra.mongo("own-mongo")
    mongo.start()
    yield mongo
    mongo.close()


@pytest.fixture
def own_grid(infra: Infra, own_mongo: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid over it."""
    with open_grid(infra, own_mongo, tmp_path_factory.mktemp("grid")) as grid:
        yield grid


async def keep_submitting(scene: Scene, enough: asyncio.Event) -> None:
    """Submit one job after the other, accepted or not."""
    while not enough.is_set():
        await scene.attempt(scene.client)


async def test_every_submission_that_was_accepted_around_crashes_of_mongod_is_there_and_ends(
    own_grid: Grid, own_mongo: MongoServer
) -> None:
    enough = asyncio.Event()
    async with open_scene(own_grid) as scene, open_gate("gated") as gate:
        await scene.hire(slots=20)
        await scene.hire(slots=20, **gate.engine("gated"))
        in_flight = await scene.submit(20, model="gated")
        await gate.until_inside(20)
        async with asyncio.TaskGroup() as load:
            for _ in range(SUBMITTERS):
                load.create_task(keep_submitting(scene, enough))
            await scene.until_accepted(50)
            own_mongo.kill()
            gate.opened.set()
            with recovering("mongod crashed and started again: jobs are accepted again", 10):
                own_mongo.start()
                await scene.until_accepted(SUBMITTERS + 1)
            own_mongo.restart()
            await scene.until_accepted(50)
            enough.set()

        history = await scene.judge()
    assert {history.stored[job.replace("-", "")]["state"] for job in scene.accepted} == {"succeeded"}
    assert {job.replace("-", "") for job in in_flight} <= history.stored.keys()


async def keep_chatting(scene: Scene, answers: dict[str, str]) -> None:
    """Ask one question after the other, and note what was answered to those that were."""
    while True:
        wish = {"model": "synthetic", "messages": [{"role": "user", "content": f"{len(answers)} [[tokens=3]]"}]}
        try:
            answer = await scene.client.call("POST", CHAT, wish)
        except (aiohttp.ClientError, TimeoutError):
            continue
        if answer.status == HTTPStatus.OK:
            answers[from_base32(answer.headers["X-Gridloom-Job"])] = said_in(answer.body)


def said_in(body: dict[str, Any]) -> str:
    """Return the text of a chat completion."""
    return str(body["choices"][0]["message"]["content"])


async def until_answered(answers: dict[str, str], more: int) -> None:
    """Return once so many further questions have been answered."""
    goal = len(answers) + more
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(answers) < goal:
            await asyncio.sleep(POLL_SECONDS)


async def test_what_who_waited_was_told_around_crashes_is_what_is_recorded(
    own_grid: Grid, own_mongo: MongoServer
) -> None:
    # They have it while it is being stored: what ever crashes then, it is stored all the same.
    answers: dict[str, str] = {}
    async with open_scene(own_grid) as scene:
        await scene.hire(slots=20)
        async with asyncio.TaskGroup() as load:
            chatting = [load.create_task(keep_chatting(scene, answers)) for _ in range(SUBMITTERS)]
            await until_answered(answers, 100)
            own_grid.processes["scheduler-1"].kill()
            own_grid.start(SCHEDULER)
            await until_answered(answers, 100)
            own_mongo.kill()
            own_mongo.start()
            await until_answered(answers, 100)
            for task in chatting:
                task.cancel()
        history = await scene.judge()

    recorded = {job: history.stored[job] for job in answers}
    assert {document["state"] for document in recorded.values()} == {"succeeded"}
    assert {job: said_in(msgspec.json.decode(document["output"])) for job, document in recorded.items()} == answers
