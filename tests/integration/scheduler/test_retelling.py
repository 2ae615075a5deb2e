"""EVENTS is lost with all that nobody had read yet: it is told again, whoever was running when it happened."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta

import pytest
from nats.js.errors import NotFoundError

from gridloom_contract.streams import EVENTS
from gridloom_contract.vocabulary import State
from gridloom_kit.mongo import Database
from gridloom_testing.builders import a_submission
from gridloom_testing.checker import read_history
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer
from integration.scheduler.conftest import StartScheduler, StartWorker
from integration.scheduler.scripted import Gateway, ScriptedWorker

pytestmark = pytest.mark.usefixtures("empty_streams")

_TOLD_WITHIN_SECONDS = 20.0
_POLL_SECONDS = 0.2


async def ended(gateway: Gateway, worker: ScriptedWorker, count: int) -> list[str]:
    """Have so many jobs done."""
    jobs = [a_submission() for _ in range(count)]
    await gateway.try_submit(*jobs)
    for _ in jobs:
        await worker.do(await worker.next_order())
    await asyncio.gather(*(gateway.until(job.job, State.SUCCEEDED) for job in jobs))
    return [job.job for job in jobs]


async def until_told(database: Database, nats_server: NatsServer, jobs: Collection[str]) -> set[str]:
    """Return all jobs of which the stream has facts, once it has every fact of these."""
    missing: dict[str, set[int]] = {}
    try:
        async with asyncio.timeout(_TOLD_WITHIN_SECONDS):
            while True:
                with suppress(NotFoundError):
                    history = await read_history(database, nats_server)
                    stored = {job: {fact["seq"] for fact in history.stored[job]["events"]} for job in jobs}
                    missing = {job: stored[job] - set(history.published.get(job, {})) for job in jobs}
                    if not any(missing.values()):
                        return set(history.published)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"facts that were never told: {missing}") from None


@pytest.mark.usefixtures("scheduler")
async def test_a_lost_stream_gets_the_facts_of_living_and_of_ended_jobs_again(
    gateway: Gateway,
    start_worker: StartWorker,
    database: Database,
    nats_server: NatsServer,
    bus_for: OpenBus,
) -> None:
    worker = await start_worker(slots=2)
    done = await ended(gateway, worker, 5)
    living = [await gateway.submit() for _ in range(5)]
    await until_told(database, nats_server, done + living)

    await (await bus_for("admin")).js_api(f"STREAM.DELETE.{EVENTS}")

    await until_told(database, nats_server, done + living)


async def test_a_store_that_was_wiped_while_no_scheduler_ran_is_told_all_the_same(
    start_scheduler: StartScheduler,
    gateway: Gateway,
    start_worker: StartWorker,
    database: Database,
    nats_server: NatsServer,
) -> None:
    first = await start_scheduler()
    await gateway.until_answered()
    worker = await start_worker()
    done = await ended(gateway, worker, 3)
    [old] = await ended(gateway, worker, 1)
    await until_told(database, nats_server, [*done, old])
    await first.stop()
    document = await database["jobs"].find_one({"_id": old})
    assert document is not None
    long_ago = document["ended_at"] - timedelta(days=2)
    await database["jobs"].update_one({"_id": old}, {"$set": {"ended_at": long_ago}})

    nats_server.wipe_store()
    await start_scheduler()

    told = await until_told(database, nats_server, done)
    assert old not in told
