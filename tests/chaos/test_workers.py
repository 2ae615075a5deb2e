"""A worker that vanishes, or comes back after it was given up, costs a delay and never a job."""

from __future__ import annotations

import asyncio

from chaos.gate import ANSWER, open_gate
from chaos.recovery import recovering
from chaos.scene import PATIENCE_SECONDS, Scene, measured, said
from gridloom_local.servers import LOOPBACK
from gridloom_testing.faults import tcp_proxy
from integration.gateway.reading import reading

STALE = "gridloom_worker_results_rejected_total"


async def test_a_job_whose_worker_is_killed_ends_on_another_and_its_reader_has_the_whole_text(scene: Scene) -> None:
    async with open_gate("gated") as gate:
        first = await scene.hire(**gate.engine("gated"))
        [job] = await scene.submit(model="gated")
        async with reading(scene.client, job) as reader:
            while not reader.text:
                await reader.next()
            second = await scene.hire(**gate.engine("gated"))

            first.process.kill()
            with recovering("worker killed: its job runs again", 10):
                await scene.client.reached(job, "started", times=2)
            gate.opened.set()
            document = await reader.until_done()

    assert await scene.workers_of(job) == [first.worker, second.worker]
    assert (document["status"], reader.text) == ("completed", ANSWER)
    assert reader.resets == 1
    await scene.judge()


async def test_a_worker_that_was_frozen_beyond_its_lease_wakes_up_to_a_job_that_is_no_longer_its_own(
    scene: Scene,
) -> None:
    async with tcp_proxy(scene.grid.nats.port) as line, open_gate("gated") as gate:
        first = await scene.hire(**gate.engine("gated"), nats_url=f"nats://{LOOPBACK}:{line.port}")
        [job] = await scene.submit(model="gated")
        await scene.client.reached(job, "started")
        second = await scene.hire(**gate.engine("gated"))

        # Its line is deaf when it wakes: so it ends the job and reports that before anybody can tell it to stop.
        first.process.suspend()
        line.go_silent()
        with recovering("worker frozen: its job runs again", 10):
            await scene.client.reached(job, "started", times=2)
        first.process.resume()
        gate.opened.set()
        await said(first.process, "attempt.ended")
        line.speak_again()
        await until_stale_reports(scene)
        document = await scene.client.ended(job)

    assert (document["status"], document["attempts"], document["output"]) == ("completed", 2, ANSWER)
    assert await scene.workers_of(job) == [first.worker, second.worker]
    assert (await scene.client.timeline(job))[-1]["worker"] == second.worker
    await scene.judge()


async def until_stale_reports(scene: Scene) -> None:
    """Return once the scheduler has turned a report away because its lease was over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await measured(scene.grid.processes["scheduler-1"], STALE):
            await asyncio.sleep(0.03)
