"""Whatever is killed, each ending is in the books once: the ledger's sums are the jobs' own."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp

from chaos.scene import Scene
from e2e.accounting import AT_ONCE, proof_of, until_counted
from gridloom_contract.registry import USAGE
from gridloom_contract.streams import EVENTS
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.jetstream import exists
from gridloom_testing.checker import History

JOBS = 300
_POLL_SECONDS = 0.05


async def test_a_usage_service_that_is_killed_under_load_counts_each_job_once(scene: Scene) -> None:
    await scene.hire(slots=8)
    usage = scene.grid.start(USAGE, **AT_ONCE)
    await scene.grid.until_ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(submit(scene, JOBS - JOBS // 3))
        await until_something_is_counted(scene)
        usage.kill()
        await submit(scene, JOBS // 3)
        scene.grid.start(USAGE, **AT_ONCE)

    await assert_all_counted(scene, JOBS)


async def test_two_usage_services_and_a_crash_of_one_count_each_job_once(scene: Scene) -> None:
    await scene.hire(slots=8)
    first, _second = scene.grid.start(USAGE, **AT_ONCE), scene.grid.start(USAGE, **AT_ONCE)
    await scene.grid.until_ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(submit(scene, JOBS))
        await until_something_is_counted(scene)
        first.kill()

    await assert_all_counted(scene, JOBS)


async def test_events_that_were_deleted_while_the_usage_service_was_down_are_counted_all_the_same(scene: Scene) -> None:
    await scene.hire(slots=8)
    usage = scene.grid.start(USAGE, **AT_ONCE)
    await scene.grid.until_ready()
    await scene.submit(20, prompt="[[tokens=3]] before")
    await until_counted(scene.client, 20)
    usage.kill()
    jobs = await scene.submit(60, prompt="[[tokens=5]] meanwhile")
    await asyncio.gather(*(scene.client.ended(job) for job in jobs))

    async with open_bus(scene.grid.nats.settings_of("admin"), "admin") as admin:
        await admin.js_api(f"STREAM.DELETE.{EVENTS}")
        await until_made_again(admin)
    scene.grid.start(USAGE, **AT_ONCE)

    await scene.grid.until_ready()
    await assert_all_counted(scene, 80, was_wiped=True)


async def submit(scene: Scene, jobs: int) -> None:
    """Submit jobs of different lengths as fast as they are accepted."""
    for number in range(0, jobs, 10):
        await scene.submit(10, prompt=f"[[tokens={number % 70 + 1}]] count me")


async def until_made_again(admin: Bus) -> None:
    """Return once the scheduler has made the stream again."""
    async with asyncio.timeout(30):
        while not await exists(admin, EVENTS):
            await asyncio.sleep(_POLL_SECONDS)


async def until_something_is_counted(scene: Scene) -> None:
    """Return once the usage service has written its first lines."""
    async with asyncio.timeout(30):
        while True:
            with suppress(AssertionError, aiohttp.ClientError):
                await until_counted(scene.client, 1, within_seconds=1.0)
                return


async def assert_all_counted(scene: Scene, jobs: int, *, was_wiped: bool = False) -> None:
    """Assert that the account's usage is the sum of its jobs, and that the books are right."""
    history = await scene.judge(was_wiped=was_wiped)
    statement = await until_counted(scene.client, jobs)
    assert statement["total"]["jobs"] == len(history.stored) == jobs
    total = statement["total"]
    assert (total["input_tokens"], total["output_tokens"]) == tokens_in(history)
    proof = proof_of(scene.grid)
    assert proof["is_clean"], proof["differences"][:10]
    assert proof["checked"] >= jobs


def tokens_in(history: History) -> tuple[int, int]:
    """Return what all jobs took, as their own documents say."""
    used = [document["usage"] for document in history.stored.values()]
    return sum(one["tokens_in"] for one in used), sum(one["tokens_out"] for one in used)
