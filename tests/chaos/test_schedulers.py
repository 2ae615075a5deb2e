"""A scheduler that is killed is missed for seconds, and nothing it had promised is forgotten."""

from __future__ import annotations

import asyncio

from chaos.gate import ANSWER, open_gate
from chaos.recovery import recovering
from chaos.scene import Scene, looks_after, open_scene
from gridloom_contract.registry import SCHEDULER
from gridloom_testing.grid import Grid

MODELS = ("model0", "model1", "model2", "model3")


async def test_two_hundred_jobs_in_flight_outlive_the_scheduler_and_none_runs_twice(scene: Scene) -> None:
    async with open_gate("gated") as gate:
        for _ in range(2):
            await scene.hire(slots=100, **gate.engine("gated"))
        await scene.submit(200, model="gated")
        await gate.until_inside(200)
        quick = await scene.hire(slots=1)

        scene.grid.processes["scheduler-1"].kill()
        gate.opened.set()
        with recovering("scheduler killed and started again: a new job ends", 5):
            scene.grid.start(SCHEDULER)
            [after] = await scene.submit()
            await scene.client.ended(after)

        history = await scene.judge()
    assert await scene.workers_of(after) == [quick.worker]
    assert {(document["state"], document["attempt"]) for document in history.stored.values()} == {("succeeded", 1)}
    assert [document["output"] for document in history.stored.values()].count(ANSWER) == 200


async def test_of_two_schedulers_the_one_that_is_killed_is_replaced_by_the_other_within_seconds(
    own_grid: Grid,
) -> None:
    async with open_scene(own_grid, schedulers=2) as scene, open_gate(*MODELS) as gate:
        hands = [await scene.hire(slots=25, **gate.engine(model)) for model in MODELS]
        both = [own_grid.processes[name] for name in ("scheduler-1", "scheduler-2")]
        await scene.until_shared(both)
        for model in MODELS:
            await scene.submit(20, model=model)
        await gate.until_inside(80)

        missed = next(scheduler for scheduler in both if looks_after(scheduler, hands[0].worker))
        missed.kill()
        gate.opened.set()
        with recovering("one of two schedulers killed: new jobs of every worker end", 5):
            new = await asyncio.gather(*(scene.insist(scene.client, model=model) for model in MODELS))
            await asyncio.gather(*map(scene.client.ended, new))

        history = await scene.judge()
    assert {(document["state"], document["attempt"]) for document in history.stored.values()} == {("succeeded", 1)}
    assert len(history.stored) == 84
