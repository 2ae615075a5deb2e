"""The record itself may crash: what was answered with 201 is journaled, and what was not is not promised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chaos.gate import open_gate
from chaos.recovery import recovering
from chaos.scene import Scene, open_scene
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

SUBMITTERS = 10


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
