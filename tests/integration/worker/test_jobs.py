"""One job after the other through a worker on a real bus."""

from __future__ import annotations

from gridloom_testing.plugin import OpenBus

from integration.worker.conftest import Employ
from integration.worker.scripted import ScriptedScheduler, listening, text_of


async def test_an_order_is_started_streamed_and_answered(
    employ: Employ, scheduler: ScriptedScheduler, bus_for: OpenBus
) -> None:
    worker = await employ()
    order = worker.order("[[tokens=20]] [[rate=200]]")
    async with listening(await bus_for("gateway"), order.job) as chunks:
        await scheduler.give(order)
        result = await scheduler.results.until(lambda each: each.job == order.job)
        await chunks.until(lambda _: text_of(chunks) == result.output)
    assert result.fault is None
    assert result.usage.tokens_out == 20
    assert (await scheduler.started.until(lambda each: each.job == order.job)).token == order.token
