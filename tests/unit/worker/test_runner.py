"""However an attempt ends: what its engine said before is on its way to readers before anybody hears of the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gridloom_contract.work import Offer, ResultReport, TokenChunk, Verdict, WorkOrder
from gridloom_domain.errors import Upstream
from gridloom_kit.clock import SystemClock
from gridloom_testing.builders import an_order
from gridloom_worker.engines.engine import Emit, Ending
from gridloom_worker.runner import Runner, Why
from gridloom_worker.slots import key_of
from gridloom_worker.streams import Streams

FIRST, LAST = "the first word ", "and the last"

Finale = Callable[[Runner, WorkOrder], Awaitable[Ending]]


class Line:
    """Takes chunks and keeps them."""

    is_up = True
    unsent_bytes = 0

    def __init__(self) -> None:
        self.text = ""
        self.has_sent = asyncio.Event()

    async def send(self, chunk: TokenChunk) -> None:
        self.text += chunk.text
        self.has_sent.set()


class Speaker:
    """An engine that says something, and once that is on its way something more, which is the end of it."""

    name = "speaker"

    def __init__(self, line: Line, finale: Finale) -> None:
        self.unsettled = asyncio.Event()
        self.runner: Runner
        self._line = line
        self._finale = finale

    async def discover(self) -> tuple[Offer, ...]:
        return ()

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        emit(FIRST)
        await self._line.has_sent.wait()
        emit(LAST)
        return await self._finale(self.runner, order)

    async def close(self) -> None:
        return


class Nothing:
    """Needs no inputs and hears reports."""

    async def complete(self, order: WorkOrder) -> WorkOrder:
        return order

    async def started(self, _report: object) -> Verdict:
        return Verdict.RECORDED


async def breaks(_runner: Runner, _order: WorkOrder) -> Ending:
    raise RuntimeError("as engines do")


async def fails(_runner: Runner, _order: WorkOrder) -> Ending:
    raise Upstream("as engines do")


async def is_canceled(runner: Runner, order: WorkOrder) -> Ending:
    runner.stop(key_of(order), Why.UNWANTED)
    return await hangs(runner, order)


async def is_left(runner: Runner, order: WorkOrder) -> Ending:
    runner.stop_all(Why.LEAVING)
    return await hangs(runner, order)


async def hangs(_runner: Runner, _order: WorkOrder) -> Ending:
    await asyncio.Event().wait()
    raise AssertionError("nobody wakes it up")


async def run_with(finale: Finale) -> tuple[str, ResultReport | None]:
    """Return what readers were told until the attempt was over, and its result."""
    line, clock = Line(), SystemClock()
    engine = Speaker(line, finale)
    streams = Streams(line, clock, most_bytes=1000)
    runner = engine.runner = Runner(engine, Nothing(), Nothing(), streams, clock)  # type: ignore[arg-type]
    result, _ = await runner.run(an_order())
    return line.text, result


@pytest.mark.parametrize("finale", [breaks, fails, is_left])
async def test_the_last_words_are_said_before_a_failure_is_reported(finale: Finale) -> None:
    text, result = await run_with(finale)
    assert text == FIRST + LAST
    assert result is not None
    assert result.fault is not None


async def test_the_last_words_of_what_is_canceled_are_said_and_nothing_is_reported() -> None:
    assert await run_with(is_canceled) == (FIRST + LAST, None)
