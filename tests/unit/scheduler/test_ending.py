"""A tick that was told to end does end, even if what it awaited hid that from it."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_scheduler.ending import ending


async def ended_at_once(*, is_protected: bool) -> bool:
    """Cancel a tick in the moment in which its answer arrives, and say whether it ended."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        try:
            await asyncio.shield(answer)
        except asyncio.CancelledError:
            return  # what wait_for of Python 3.11 does when the answer is there already

    async def go_round() -> None:
        handler = ending(ask) if is_protected else ask
        await handler()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(go_round())
        await asyncio.sleep(0)
        answer.set_result(None)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.1)
        task.cancel()
    return bool(done)


async def test_a_cancellation_that_was_dropped_still_ends_the_tick() -> None:
    assert await ended_at_once(is_protected=True)


async def test_without_protection_the_tick_would_go_on() -> None:
    assert not await ended_at_once(is_protected=False)


async def test_a_tick_that_was_not_canceled_goes_on() -> None:
    calls = []

    async def work() -> None:
        calls.append(1)

    await ending(work)()

    assert calls == [1]


async def test_what_a_tick_raises_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await ending(fail)()
