"""A scheduler that does what the test says: the real bus, the real rights, and no database behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from gridloom_contract import registry, subjects
from gridloom_contract.streams import STREAMS, WORK_STREAMS
from gridloom_contract.work import (
    AskUpload,
    ReportReceipt,
    ResultReport,
    StartReport,
    StopWork,
    TokenChunk,
    UploadSlot,
    Verdict,
    Welcome,
    WorkerControl,
    WorkerHeartbeat,
    WorkerHello,
    WorkOrder,
    WorkReport,
)
from gridloom_domain.errors import Unavailable
from gridloom_kit.bus import Bus
from gridloom_kit.consume import ensure_consumer
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.streams import ensure_streams
from gridloom_kit.wire import Headers, Subscription

T = TypeVar("T")
HEARTBEAT_SECONDS = 0.1
_ACK_WAIT_NANOSECONDS = 10_000_000_000


class Log(list[T]):
    """Everything that came, in order; `until` waits for what a test is about."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Condition()

    async def add(self, item: T) -> None:
        """Note one more."""
        async with self._news:
            self.append(item)
            self._news.notify_all()

    async def until(self, holds: Callable[[T], bool], within_seconds: float = 10.0) -> T:
        """Return the first, old or new, for which `holds`."""
        async with asyncio.timeout(within_seconds), self._news:
            await self._news.wait_for(lambda: any(map(holds, self)))
        return next(item for item in self if holds(item))

    async def next(self, holds: Callable[[T], bool], within_seconds: float = 10.0) -> T:
        """Return the first that comes from now on for which `holds`."""
        seen = len(self)
        async with asyncio.timeout(within_seconds), self._news:
            await self._news.wait_for(lambda: any(map(holds, self[seen:])))
        return next(item for item in self[seen:] if holds(item))


class ScriptedScheduler:
    """Welcomes workers, gives them orders and takes their reports. `verdict` and `slot` may be replaced by a test."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.hellos: Log[WorkerHello] = Log()
        self.heartbeats: Log[WorkerHeartbeat] = Log()
        self.started: Log[StartReport] = Log()
        self.results: Log[ResultReport] = Log()
        self.chunks: Log[TokenChunk] = Log()
        self.verdict: Callable[[StartReport | ResultReport], Verdict] = lambda _: Verdict.RECORDED
        self.asked: Log[AskUpload] = Log()
        self.slot: Callable[[AskUpload], Awaitable[UploadSlot]] = _no_slot
        self.before_receipt: Callable[[WorkReport], Awaitable[None]] = _at_once
        self._answers: list[Subscription] = []

    async def arrive(self) -> None:
        """Be there for workers."""
        await ensure_streams(self.bus, STREAMS)
        if not self._answers:
            await self.bus.subscribe(registry.HEARTBEAT.subject, WorkerHeartbeat, self._on_heartbeat)
        self._answers = [
            await self.bus.answer(registry.HELLO, self._on_hello),
            await self.bus.answer(registry.REPORT, self._on_report),
            await self.bus.answer(registry.UPLOAD, self._on_ask),
        ]
        await self.bus.flush()

    async def arrive_again(self) -> None:
        """Make the streams again that a crash of the server took."""
        async with asyncio.timeout(10):
            while True:
                try:
                    await ensure_streams(self.bus, STREAMS)
                    return
                except Exception:  # noqa: BLE001 - the connection comes back when it does
                    await asyncio.sleep(0.05)

    async def leave(self) -> None:
        """Be away: hellos and reports find nobody."""
        for answer in self._answers:
            await answer.close()
        await self.bus.flush()

    async def give(self, order: WorkOrder, lane: str = "normal", *, to: str = "", as_model: str = "") -> WorkOrder:
        """Send an order and return it; `to` another worker or `as_model` of another name than it says itself."""
        subject = subjects.work(lane, as_model or order.model, to or order.worker, order.job)
        outgoing = Outgoing(subject=subject, message=order, message_id=f"{subject}:{order.attempt}")
        assert await self.bus.publish_many([outgoing]) == [True]
        return order

    async def stop(self, order: WorkOrder) -> None:
        """Tell the worker to stop an attempt."""
        stop = StopWork(job=order.job, attempt=order.attempt, reason="user")
        await self.bus.publish(subjects.stop(order.worker), stop)

    async def control(self, worker: str, order: str) -> None:
        """Tell the worker to drain, resume or say hello."""
        await self.bus.publish(subjects.control(worker), WorkerControl(order=order))

    async def nothing_is_left_for(self, worker: str) -> None:
        """Return once every order of the normal lane is acknowledged or rejected."""
        async with asyncio.timeout(5):
            while True:
                info = await self.bus.js_api(f"CONSUMER.INFO.{WORK_STREAMS['normal']}.{worker}")
                if not info["num_ack_pending"] and not info["num_pending"]:
                    return

    async def _on_hello(self, hello: WorkerHello, _subject: str) -> Welcome:
        for lane, stream in WORK_STREAMS.items():
            filters = [subjects.work_of_model(lane, offer.model, hello.worker) for offer in hello.offers]
            if filters:
                delivery = {"deliver_subject": subjects.order(hello.worker, lane), "ack_wait": _ACK_WAIT_NANOSECONDS}
                await ensure_consumer(self.bus, stream, hello.worker, filters, **delivery)
        await self.hellos.add(hello)
        return Welcome(heartbeat_seconds=HEARTBEAT_SECONDS, lease_seconds=5.0)

    async def _on_ask(self, question: AskUpload, _subject: str) -> UploadSlot:
        await self.asked.add(question)
        return await self.slot(question)

    async def _on_heartbeat(self, heartbeat: WorkerHeartbeat, _subject: str, _headers: Headers) -> None:
        await self.heartbeats.add(heartbeat)

    async def _on_report(self, report: WorkReport, _subject: str) -> ReportReceipt:
        await self.before_receipt(report)
        for start in report.started:
            await self.started.add(start)
        for result in report.results:
            await self.results.add(result)
        return ReportReceipt(
            started=tuple(map(self.verdict, report.started)), results=tuple(map(self.verdict, report.results))
        )


async def _no_slot(_question: AskUpload) -> UploadSlot:
    raise Unavailable("this grid has no object store")


async def _at_once(_report: WorkReport) -> None:
    return None


@asynccontextmanager
async def listening(bus: Bus, job: str) -> AsyncIterator[Log[TokenChunk]]:
    """Yield the chunks of a job as they come to a follower; `bus` is the gateway's."""
    chunks: Log[TokenChunk] = Log()

    async def note(chunk: TokenChunk, _subject: str, _headers: Headers) -> None:
        await chunks.add(chunk)

    subscription = await bus.subscribe(subjects.live(job), TokenChunk, note)
    await bus.flush()
    try:
        yield chunks
    finally:
        await subscription.close()


def text_of(chunks: list[TokenChunk]) -> str:
    """Return the text that contiguous chunks make up, as a follower reads it. Raises AssertionError at a gap."""
    text = ""
    for chunk in chunks:
        assert chunk.offset <= len(text), f"a gap before {chunk.offset}"
        text = text[: chunk.offset] + chunk.text + text[chunk.offset + len(chunk.text) :]
    return text
