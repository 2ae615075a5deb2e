"""The worker with the real scheduler behind the real gateway: every process as in production."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid

SLOW = "[[tokens=40]] [[rate=20]]"


async def reached(client: ApiClient, job: str, event: str) -> None:
    """Return once this happened to the job."""
    async with asyncio.timeout(20):
        while event not in [each["type"] for each in await client.timeline(job)]:
            await asyncio.sleep(0.05)


async def stored(folder: Path) -> None:
    """Return once a result is on a worker's disk."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(lambda: list(folder.glob("**/*.result.json"))):
            await asyncio.sleep(0.02)


async def test_a_job_is_streamed_and_answered_with_what_the_engine_counted(grid: Grid) -> None:
    async with grid.client() as client:
        job = await client.submit(prompt="[[tokens=5]] hello")
        document = await client.ended(job)
        events = [each["type"] for each in await client.timeline(job)]
    assert document["status"] == "completed"
    assert len(document["output"].split()) == 5
    assert events[-3:] == ["assigned", "started", "finished"]


async def test_many_jobs_are_all_answered(grid: Grid) -> None:
    async with grid.client() as client:
        jobs = [await client.submit(prompt=f"[[tokens=3]] {number}") for number in range(50)]
        documents = await asyncio.gather(*map(client.ended, jobs))
    assert {document["status"] for document in documents} == {"completed"}


async def test_a_canceled_job_makes_room_for_the_next(grid: Grid) -> None:
    async with grid.client() as client:
        hanging = [await client.submit(prompt="[[hang]]") for _ in range(4)]
        for job in hanging:
            await reached(client, job, "started")
        after = await client.submit(prompt="next")
        await client.call("POST", f"{JOBS}/{hanging[0]}/cancel")
        assert (await client.ended(after))["status"] == "completed"
        for job in hanging[1:]:
            await client.call("POST", f"{JOBS}/{job}/cancel")


async def test_a_result_waits_while_the_scheduler_is_away(own_grid: Grid, tmp_path: Path) -> None:
    own_grid.start_all()
    async with own_grid.client() as client:
        job = await client.submit(prompt="[[first=0.7]]")
        await reached(client, job, "started")
        own_grid.processes["scheduler-1"].kill()
        await stored(own_grid._folder)
        own_grid.start("scheduler")
        await own_grid.until_ready()
        document = await client.ended(job)
        assert document["status"] == "completed"
        assert [each["type"] for each in await client.timeline(job)].count("assigned") == 1


async def test_a_job_goes_on_while_nats_restarts(own_grid: Grid) -> None:
    own_grid.start_all()
    async with own_grid.client() as client:
        job = await client.submit(prompt=SLOW)
        await reached(client, job, "started")
        own_grid.nats.restart()
        await own_grid.until_ready()
        document = await client.ended(job)
        assert len(document["output"].split()) == 40
        assert [each["type"] for each in await client.timeline(job)].count("assigned") == 1


async def test_a_worker_that_is_revoked_says_so_and_ends(own_grid: Grid) -> None:
    own_grid.start_all()
    (worker,) = own_grid.ask("GET", "/admin/v1/workers")["workers"]
    own_grid.ask("DELETE", f"/admin/v1/workers/{worker['worker']}")
    process = next(process for name, process in own_grid.processes.items() if name.startswith("worker"))
    async with asyncio.timeout(20):
        while process.is_alive:
            await asyncio.sleep(0.1)
    assert "refuses the token" in process.server.log.read_text()


async def test_a_worker_that_is_stopped_finishes_and_hands_the_rest_to_another(own_grid: Grid) -> None:
    own_grid.start_all(slots=1)
    first = next(process for name, process in own_grid.processes.items() if name.startswith("worker"))
    async with own_grid.client() as client:
        running = await client.submit(prompt=SLOW)
        await reached(client, running, "started")
        waiting = await client.submit(prompt="hello")
        await reached(client, waiting, "assigned")
        first.signal(signal.SIGTERM)
        own_grid.start("worker", own_grid.enrol())
        documents = [await client.ended(job) for job in (running, waiting)]
        assert [document["status"] for document in documents] == ["completed"] * 2
        assert [each["type"] for each in await client.timeline(running)].count("assigned") == 1
