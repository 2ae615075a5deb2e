"""Writes under way: whoever asks for a job that is being stored waits, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack

import pytest

from gridloom_scheduler.chance import LeaseTokens
from gridloom_scheduler.under_way import UnderWay


async def waits(work: Coroutine[None, None, None]) -> bool:
    """Whether this waits for anybody."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        await some_turns()
        is_done = task.done()
        task.cancel()
    return not is_done


async def some_turns() -> None:
    """Let others run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_asks_for_a_job_waits_for_its_write_and_others_do_not() -> None:
    under_way = UnderWay()
    with under_way.writing(["a", "b"]):
        assert await waits(under_way.settled(["a"]))
        assert await waits(under_way.settled(["c", "b"]))
        assert await waits(under_way.all_settled())
        assert not await waits(under_way.settled(["c"]))
    assert not await waits(under_way.settled(["a", "b"]))
    assert not await waits(under_way.all_settled())


async def test_a_second_write_of_a_job_is_waited_for_too() -> None:
    under_way, second = UnderWay(), ExitStack()
    async with asyncio.TaskGroup() as tasks:
        with under_way.writing(["a"]):
            waiting = tasks.create_task(under_way.settled(["a"]))
            await some_turns()
            second.enter_context(under_way.writing(["a"]))
        await some_turns()
        assert not waiting.done()
        second.close()


async def test_a_write_that_fails_is_over() -> None:
    under_way = UnderWay()
    with pytest.raises(OSError, match="away"), under_way.writing(["a"]):
        raise OSError("away")
    await under_way.settled(["a"])


async def test_who_stops_waiting_stops_nobody_else() -> None:
    under_way = UnderWay()
    async with asyncio.TaskGroup() as tasks:
        with under_way.writing(["a"]):
            first, second = (tasks.create_task(under_way.settled(["a"])) for _ in range(2))
            await some_turns()
            first.cancel()
            await some_turns()
            assert not second.done()
    assert first.cancelled()


def test_the_token_of_a_lease_is_that_of_one_attempt_at_one_worker() -> None:
    tokens, others = LeaseTokens(b"secret"), LeaseTokens(b"another")
    token = tokens.of("a", "j", 1, "w")
    different = [tokens.of("b", "j", 1, "w"), tokens.of("a", "i", 1, "w"), tokens.of("a", "j", 2, "w")]

    assert token == tokens.of("a", "j", 1, "w")
    assert len(token) == 32
    assert len({token, *different, tokens.of("a", "j", 1, "v"), others.of("a", "j", 1, "w")}) == 6
