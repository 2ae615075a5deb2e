"""The bus may crash, and JetStream may forget everything it ever stored: MongoDB is the record."""

from __future__ import annotations

from chaos.gate import ANSWER, open_gate
from chaos.recovery import recovering
from chaos.scene import Scene
from gridloom_testing.checker import History
from integration.gateway.reading import reading


async def test_a_crash_of_the_nats_server_costs_a_moment_and_no_attempt(scene: Scene) -> None:
    async with open_gate("gated") as gate:
        await scene.hire(slots=20, **gate.engine("gated"))
        running = await scene.submit(20, model="gated")
        waiting = await scene.submit(20, model="gated", priority=-1)
        await gate.until_inside(20)
        await scene.hire()

        async with reading(scene.client, running[0]) as reader:
            with recovering("nats-server crashed and started again: a new job ends", 3):
                scene.grid.nats.restart()
                [after] = await scene.submit()
                await scene.client.ended(after)
            gate.opened.set()
            await reader.until_done()

        history = await scene.judge()
    assert reader.text == ANSWER
    assert outcomes_of(history) == {("succeeded", 1)}
    assert len(history.stored) == len(running) + len(waiting) + 1


async def test_results_that_come_while_the_nats_server_is_away_are_not_lost(scene: Scene) -> None:
    async with open_gate("gated") as gate:
        await scene.hire(slots=20, **gate.engine("gated"))
        await scene.submit(20, model="gated")
        await gate.until_inside(20)

        scene.grid.nats.kill()
        gate.opened.set()
        await gate.until_left()
        scene.grid.nats.start()

        history = await scene.judge()
    assert outcomes_of(history) == {("succeeded", 1)}


async def test_when_the_whole_jetstream_store_is_deleted_everything_resumes(scene: Scene) -> None:
    async with open_gate("gated") as gate:
        await scene.hire(slots=20, **gate.engine("gated"))
        running = await scene.submit(20, model="gated")
        await gate.until_inside(20)
        waiting = await scene.submit(60, model="gated")
        await scene.hire()

        with recovering("JetStream store deleted: everything resumes", 30):
            scene.grid.nats.wipe_store()
            gate.opened.set()
            [after] = await scene.submit()
            history = await scene.judge(was_wiped=True)

    assert {document["state"] for document in history.stored.values()} == {"succeeded"}
    assert history.stored.keys() >= {job.replace("-", "") for job in (*running, *waiting, after)}


def outcomes_of(history: History) -> set[tuple[str, int]]:
    """Return how the jobs ended, and at which attempt."""
    return {(document["state"], document["attempt"]) for document in history.stored.values()}
