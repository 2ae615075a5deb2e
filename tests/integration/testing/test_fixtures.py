"""The fixtures: what a test asks for is its own, and is what production has."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gridloom_contract.registry import GATEWAY, SCHEDULER
from gridloom_testing.builders import a_submission, a_worker_token
from gridloom_testing.holding import Holder


async def test_a_service_and_a_worker_are_connected_with_their_own_rights(bus_for, worker_bus, admission):
    buses = [await bus_for(SCHEDULER), await bus_for(GATEWAY), await worker_bus(a_worker_token())]
    assert all(bus.is_connected for bus in buses)


@pytest.mark.parametrize("_", range(4))
async def test_a_test_begins_with_an_empty_database(_, database):
    left = [name for name in await database.list_collection_names() if await database[name].find_one({})]
    assert left == []
    await database["jobs"].insert_one({})


async def test_a_write_is_majority_journaled(database):
    assert database.write_concern.document == {"w": "majority", "j": True}


async def test_a_bus_comes_back_after_a_restart(bus_for, nats_server):
    bus = await bus_for(GATEWAY)
    back = asyncio.Event()

    async def tell():
        back.set()

    bus.on_reconnect(tell)
    nats_server.restart()
    async with asyncio.timeout(10):
        await back.wait()
    await bus.flush()


def test_a_builder_takes_what_the_test_is_about():
    submission = a_submission(priority=5)
    assert submission.priority == 5
    assert submission.job != a_submission().job


async def test_a_held_context_is_left_by_the_task_that_entered_it():
    tasks = []

    @asynccontextmanager
    async def context():
        tasks.append(asyncio.current_task())
        yield "value"
        tasks.append(asyncio.current_task())

    async with Holder() as holder:
        assert await holder.open(context()) == "value"
    assert tasks[0] is tasks[1]


async def test_what_fails_on_entering_is_raised_to_the_test():
    @asynccontextmanager
    async def context():
        raise LookupError("not there")
        yield

    async with Holder() as holder:
        with pytest.raises(LookupError):
            await holder.open(context())
