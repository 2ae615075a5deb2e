"""Brings a `Service` to life on its bus, and to rest again."""

from __future__ import annotations

import asyncio
from typing import Any, Union

from gridloom_contract.base import Message
from gridloom_kit import metrics
from gridloom_kit.consume import Puller, ensure_consumer
from gridloom_kit.log import get_logger
from gridloom_kit.service import Answer, Consume, Hear, Service, Task, Tick
from gridloom_kit.wire import Headers, Subscription

log = get_logger()

_CANCEL_AGAIN_SECONDS = 0.2
_ACK_WAIT_NANOSECONDS = 30_000_000_000
"""How long a handler may take before its message is delivered again."""


class Serving:
    """The subscriptions, consumers, ticks and tasks of one running service."""

    def __init__(self, service: Service, tasks: asyncio.TaskGroup) -> None:
        self._service = service
        self._tasks = tasks
        self._subscriptions: list[Subscription] = []
        self._pulling: list[asyncio.Task[None]] = []
        self._ticking: list[asyncio.Task[None]] = []
        self._running: list[asyncio.Task[None]] = []
        self._stop_pulling = asyncio.Event()
        self._stop_tasks = asyncio.Event()

    async def start(self) -> None:
        """Start tasks first, then hear and answer: nobody is answered by half a service."""
        for task in self._service.tasks:
            self._running.append(self._tasks.create_task(self._run_task(task), name=task.name))
        for tick in self._service.ticks:
            self._ticking.append(self._tasks.create_task(_run_tick(tick), name=tick.name))
        for consume in self._service.consumes:
            await self._start_consume(consume)
        self._subscriptions += [await self._hear(entry) for entry in self._service.hears]
        self._subscriptions += [await self._answer(entry) for entry in self._service.answers]
        await self._service.bus.flush()

    async def stop(self, grace_seconds: float) -> None:
        """Stop taking work, let what is in hand finish within the grace, then end ticks and tasks."""
        for subscription in self._subscriptions:
            await subscription.close()
        self._stop_pulling.set()
        await _within(self._pulling, grace_seconds)
        await _end(self._ticking)
        self._stop_tasks.set()
        await _within(self._running, grace_seconds)

    async def _answer(self, entry: Answer) -> Subscription:
        async def answer(message: Message, _subject: str) -> Message:
            reply: Message = await entry.handler(message)
            return reply

        return await self._service.bus.answer(entry.channel, answer, queue=self._service.name)

    async def _hear(self, entry: Hear) -> Subscription:
        async def hear(message: Message, _subject: str, _headers: Headers) -> None:
            await entry.handler(message)

        return await self._service.bus.subscribe(entry.channel.subject, entry.channel.message, hear)

    async def _start_consume(self, consume: Consume) -> None:
        bus, channels = self._service.bus, consume.channels
        stream = channels[0].stream
        if stream is None:
            raise ValueError(f"{channels[0].subject} is not stored in any stream, so it cannot be consumed")
        subjects = [channel.subject for channel in channels]

        async def ensure() -> None:
            await ensure_consumer(bus, stream, consume.durable, subjects, ack_wait=_ACK_WAIT_NANOSECONDS)

        async def handle(message: Message, _subject: str) -> None:
            await consume.handler(message)

        messages: Any = Union[tuple(channel.message for channel in channels)]  # noqa: UP007 - made at run time
        puller = Puller(bus, (stream, consume.durable), messages, handle, consume.at_once).made_by(ensure)
        self._pulling.append(self._tasks.create_task(puller.run(self._stop_pulling)))

    async def _run_task(self, task: Task) -> None:
        await task.run(self._stop_tasks)
        if not self._stop_tasks.is_set():
            raise RuntimeError(f"task {task.name} of {self._service.name} ended although nobody asked it to")


async def _run_tick(tick: Tick) -> None:
    while True:
        await asyncio.sleep(tick.every_seconds)
        try:
            with metrics.tick_seconds.labels(tick.name).time():
                await tick.handler()
        except Exception:
            metrics.tick_errors.labels(tick.name).inc()
            log.exception("tick.failed", tick=tick.name)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until they end: `asyncio.wait_for` of Python 3.11 may lose a cancellation that meets its result."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)


async def _within(tasks: list[asyncio.Task[None]], grace_seconds: float) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=grace_seconds)
    for task in late:
        log.warning("service.task_outlived_grace", task=task.get_name())
        task.cancel()
