"""Room for large bodies."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_gateway.room import Room


async def test_what_fits_enters_at_once_and_the_next_when_somebody_leaves() -> None:
    room = Room(100)
    first = await room.enter(60)
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(room.enter(60))
        await asyncio.sleep(0)
        assert not second.done()
        room.leave(first)
    assert second.result() == 60


async def test_nobody_overtakes() -> None:
    room = Room(100)
    taken = await room.enter(60)
    order: list[int] = []

    async def enter(size_bytes: int) -> None:
        await room.enter(size_bytes)
        order.append(size_bytes)

    async with asyncio.TaskGroup() as tasks:
        for size_bytes in (80, 10):
            tasks.create_task(enter(size_bytes))
            await asyncio.sleep(0)
        room.leave(taken)
    assert order == [80, 10]


async def test_a_body_larger_than_the_room_has_it_to_itself() -> None:
    room = Room(100)
    assert await room.enter(1_000) == 100


async def test_who_waits_in_vain_is_told_when_to_come_back_and_leaves_no_trace() -> None:
    room = Room(100, patience_seconds=0.01)
    taken = await room.enter(100)

    with pytest.raises(FaultError) as refused:
        await room.enter(1)

    assert refused.value.fault.code is FaultCode.UNAVAILABLE
    assert refused.value.fault.retry_after_seconds
    room.leave(taken)
    assert await room.enter(100) == 100


async def test_who_goes_away_while_waiting_lets_the_next_one_in() -> None:
    room = Room(100)
    taken = await room.enter(50)
    async with asyncio.TaskGroup() as tasks:
        gone = tasks.create_task(room.enter(100))
        await asyncio.sleep(0)
        last = tasks.create_task(room.enter(50))
        await asyncio.sleep(0)
        gone.cancel()
    assert last.result() == 50
    room.leave(taken)
    room.leave(50)
    assert await room.enter(100) == 100


async def test_who_goes_away_at_the_very_moment_of_being_let_in_takes_no_room_along() -> None:
    room = Room(100)
    taken = await room.enter(100)
    async with asyncio.TaskGroup() as tasks:
        gone = tasks.create_task(room.enter(100))
        await asyncio.sleep(0)
        room.leave(taken)
        gone.cancel()
    assert await room.enter(100) == 100
