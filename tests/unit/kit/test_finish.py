"""The last write of finished work survives cancellation."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_kit.finish import finish


async def test_a_canceled_caller_waits_for_the_write_and_is_then_canceled() -> None:
    begun, release, written = asyncio.Event(), asyncio.Event(), []

    async def write() -> None:
        begun.set()
        await release.wait()
        written.append("done")

    async with asyncio.TaskGroup() as tasks:
        caller = tasks.create_task(finish(write()))
        await begun.wait()
        caller.cancel()
        release.set()
        await asyncio.wait({caller})
    assert written == ["done"]
    assert caller.cancelled()


async def test_its_result_is_returned() -> None:
    async def write() -> int:
        return 7

    assert await finish(write()) == 7


async def test_its_error_is_raised() -> None:
    async def write() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await finish(write())
