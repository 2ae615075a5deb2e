"""The life of the worker on the bus: taking orders and hearing while it runs, and coming to rest in a written order.

Stop order: take nothing new and say so; hand back what waits; let what runs finish within the grace (a second signal
ends the grace); break off the rest as retryable; report; fall silent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gridloom_contract import subjects
from gridloom_contract.streams import LANES, WORK_STREAMS
from gridloom_contract.work import StopWork, WorkerControl, WorkOrder
from gridloom_kit.bus import Bus
from gridloom_kit.consume import Receiver
from gridloom_kit.log import get_logger
from gridloom_kit.wire import Headers
from gridloom_worker import rules
from gridloom_worker.attempts import Attempts
from gridloom_worker.catalogue import Catalogue
from gridloom_worker.connecting import Readmission
from gridloom_worker.handlers import Handlers
from gridloom_worker.presence import Presence
from gridloom_worker.runner import Runner, Why
from gridloom_worker.slots import Slots
from gridloom_worker.spool import Spool

log = get_logger()

LAST_REPORTS_SECONDS = 3.0


@dataclass(frozen=True)
class Parts:
    """What a worker is made of."""

    worker: str
    bus: Bus
    slots: Slots
    spool: Spool
    runner: Runner
    attempts: Attempts
    catalogue: Catalogue
    presence: Presence
    handlers: Handlers
    readmission: Readmission


class Life:
    """Runs the parts. `hurry` ends the grace of a worker that is stopping."""

    def __init__(self, parts: Parts, grace_seconds: float, hurry: asyncio.Event) -> None:
        self._parts = parts
        self._grace_seconds = grace_seconds
        self._hurry = hurry

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then come to rest."""
        parts, stop_taking = self._parts, asyncio.Event()
        async with parts.attempts, asyncio.TaskGroup() as group:
            await self._hear()
            parts.bus.on_reconnect(self._on_reconnect)
            for result in await parts.spool.load():
                parts.attempts.deliver_again(result)
            await parts.catalogue.look()
            parts.presence.introduce()
            lasting = [
                group.create_task(work)
                for work in (
                    parts.presence.say_hellos(),
                    parts.presence.beat_on(),
                    parts.catalogue.keep_looking(),
                    parts.readmission.watch(),
                    *(self._take_orders(lane, stop_taking) for lane in LANES),
                )
            ]
            await stop.wait()
            stop_taking.set()
            await self._rest(group)
            for task in lasting:
                task.cancel()

    async def _hear(self) -> None:
        parts = self._parts

        async def on_stop(message: StopWork, _subject: str, _headers: Headers) -> None:
            await parts.handlers.on_stop(message)

        async def on_control(message: WorkerControl, _subject: str, _headers: Headers) -> None:
            await parts.handlers.on_control(message)

        await parts.bus.subscribe(subjects.stop(parts.worker), StopWork, on_stop)
        await parts.bus.subscribe(subjects.control(parts.worker), WorkerControl, on_control)

    async def _take_orders(self, lane: str, stop: asyncio.Event) -> None:
        """Take the orders of one lane. Before the first welcome nobody would know that this process has them."""
        parts = self._parts
        await parts.presence.welcomed.wait()

        async def take(order: WorkOrder, _subject: str) -> None:
            await parts.handlers.on_order(lane, order)

        source = (WORK_STREAMS[lane], subjects.order(parts.worker, lane))
        await Receiver(parts.bus, source, WorkOrder, take).run(stop)

    async def _on_reconnect(self) -> None:
        self._parts.presence.introduce()
        self._parts.runner.begin_streams_again()

    async def _rest(self, group: asyncio.TaskGroup) -> None:
        parts = self._parts
        log.info("worker.draining", running=parts.slots.running, waiting=parts.slots.waiting)
        parts.slots.is_stopping = True
        parts.attempts.hand_back_waiting(rules.draining())
        await parts.presence.beat()
        ways_to_rest = {group.create_task(parts.attempts.quiet()), group.create_task(self._hurry.wait())}
        await asyncio.wait(ways_to_rest, timeout=self._grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        for way in ways_to_rest:
            way.cancel()
        parts.runner.stop_all(Why.LEAVING)
        await parts.attempts.settle(LAST_REPORTS_SECONDS)
        await parts.presence.beat()
