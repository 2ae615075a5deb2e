"""A worker that vanishes, or comes back after it was given up, costs a delay and never a job."""

from __future__ import annotations

import asyncio

from chaos.recovery import recovering
from chaos.scene import PATIENCE_SECONDS, Scene, measured, said
from gridloom_testing.faults import tcp_proxy
from integration.gateway.reading import reading

STALE = "gridloom_worker_results_rejected_total"
LONG = "[[tokens=40]] [[rate=20]]"


async def test_a_job_whose_worker_is_killed_ends_on_another_and_its_reader_has_the_whole_text(scene: Scene) -> None:
    first = await scene.hire(slots=1)
    [job] = await scene.submit(prompt=LONG)
    async with reading(scene.client, job) as reader:
        while not reader.text:
            await reader.next()
        second = await scene.hire(slots=1)

        first.process.kill()
        with recovering("worker killed: its job runs again", 10):
            await scene.client.reached(job, "started", times=2)
        document = await reader.until_done()

    assert await scene.workers_of(job) == [first.worker, second.worker]
    assert (document["status"], reader.text) == ("completed", document["output"])
    assert reader.resets == 1
    await scene.judge()


async def test_a_worker_that_was_frozen_beyond_its_lease_wakes_up_to_a_job_that_is_no_longer_its_own(
    scene: Scene,
) -> None:
    async with tcp_proxy(scene.grid.nats.port) as line:
        first = await scene.hire(slots=1, nats_url=f"nats://127.0.0.1:{line.port}")
        [job] = await scene.submit(prompt="[[first=2]]")
        await scene.client.reached(job, "started")
        second = await scene.hire(slots=1, synthetic_first_token_seconds=2)

        # Its line is deaf when it wakes: so it ends the job and reports that before anybody can tell it to stop.
        first.process.suspend()
        line.go_silent()
        with recovering("worker frozen: its job runs again", 10):
            await scene.client.reached(job, "started", times=2)
        first.process.resume()
        await said(first.process, "attempt.ended")
        line.speak_again()
        await until_stale_reports(scene)
        document = await scene.client.ended(job)

    assert (document["status"], document["attempts"]) == ("completed", 2)
    assert await scene.workers_of(job) == [first.worker, second.worker]
    assert (await scene.client.timeline(job))[-1]["worker"] == second.worker
    await scene.judge()


async def until_stale_reports(scene: Scene) -> None:
    """Return once the scheduler has turned a report away because its lease was over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await measured(scene.grid.processes["scheduler-1"], STALE):
            await asyncio.sleep(0.03)
