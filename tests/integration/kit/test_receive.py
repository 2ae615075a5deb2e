"""Taking what a real JetStream delivers across the border to a worker: acknowledged, again, or never again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gridloom_contract import subjects
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.streams import STREAMS, WORK_STREAMS
from gridloom_contract.work import WorkOrder
from gridloom_kit import metrics
from gridloom_kit.bus import Bus
from gridloom_kit.consume import Receiver, Reject, Retry, ensure_consumer
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.streams import ensure_streams
from gridloom_testing.builders import a_worker_id, a_worker_token, an_order
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer

LANE, MODEL = "normal", "synthetic"
STREAM = WORK_STREAMS[LANE]


class Desk:
    """Gives one worker orders, as the scheduler does, and looks what became of them."""

    def __init__(self, bus: Bus, worker: str) -> None:
        self.bus = bus
        self.worker = worker

    async def open(self) -> None:
        """Make the streams and the worker's consumer, again if need be."""
        async with asyncio.timeout(15):
            while True:
                try:
                    await ensure_streams(self.bus, STREAMS)
                    await self._make_consumer()
                except Exception:  # noqa: BLE001 - whatever it is, the connection is not back yet
                    await asyncio.sleep(0.05)
                else:
                    return

    async def give(self, job: str) -> None:
        """Put an order into the stream."""
        subject = subjects.work(LANE, MODEL, self.worker, job)
        order = an_order(job=job, worker=self.worker)
        async with asyncio.timeout(15):
            while await self.bus.publish_many([Outgoing(subject=subject, message=order, message_id=job)]) != [True]:
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Return once every order has its ending."""
        async with asyncio.timeout(10):
            while (await self.bus.js_api(f"STREAM.INFO.{STREAM}"))["state"]["messages"]:
                await asyncio.sleep(0.01)

    async def _make_consumer(self) -> None:
        filters, delivered_to = [subjects.work_of(LANE, self.worker)], subjects.order(self.worker, LANE)
        await ensure_consumer(self.bus, STREAM, self.worker, filters, deliver_subject=delivered_to)


class Worker:
    """Takes orders, and does to each what the test says."""

    def __init__(self, bus: Bus, worker: str) -> None:
        self.bus = bus
        self.seen: asyncio.Queue[str] = asyncio.Queue()
        self.raises: dict[str, list[Exception]] = {}
        self.stop = asyncio.Event()
        self.receiver = Receiver(bus, (STREAM, subjects.order(worker, LANE)), WorkOrder, self.handle)

    async def handle(self, order: WorkOrder, _subject: str) -> None:
        self.seen.put_nowait(order.job)
        if errors := self.raises.get(order.job):
            raise errors.pop(0)

    async def next(self) -> str:
        return await asyncio.wait_for(self.seen.get(), 15)


@pytest.fixture
async def desk(bus_for: OpenBus) -> Desk:
    desk = Desk(await bus_for("scheduler"), a_worker_id())
    await desk.open()
    return desk


@pytest.fixture
async def worker(desk: Desk, worker_bus: OpenBus, admission: None) -> AsyncIterator[Worker]:
    worker = Worker(await worker_bus(a_worker_token(desk.worker)), desk.worker)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.receiver.run(worker.stop))
        yield worker
        worker.stop.set()


async def test_what_is_delivered_is_handled_and_acknowledged(desk: Desk, worker: Worker) -> None:
    await desk.give("one")
    await desk.give("two")
    assert [await worker.next(), await worker.next()] == ["one", "two"]
    await desk.settled()


async def test_what_waited_is_delivered_once_somebody_listens(desk: Desk, worker_bus: OpenBus, admission: None) -> None:
    await desk.give("early")
    worker = Worker(await worker_bus(a_worker_token(desk.worker)), desk.worker)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.receiver.run(worker.stop))
        assert await worker.next() == "early"
        worker.stop.set()


async def test_retry_delivers_again(desk: Desk, worker: Worker) -> None:
    worker.raises["later"] = [Retry("not yet", after_seconds=0.05)]
    await desk.give("later")
    assert [await worker.next(), await worker.next()] == ["later", "later"]
    await desk.settled()


async def test_reject_never_delivers_again(desk: Desk, worker: Worker) -> None:
    worker.raises["bad"] = [Reject(Fault(code=FaultCode.INVALID, message="never"))]
    await desk.give("bad")
    await desk.settled()
    assert worker.seen.qsize() == 1


async def test_what_no_consumer_delivers_is_dropped_and_counted(desk: Desk, worker: Worker, bus_for: OpenBus) -> None:
    dropped = metrics.messages_dropped.labels("not_delivered")
    before = dropped._value.get()
    admin = await bus_for("admin")
    for reply in ("", "_INBOX.admin.x"):
        await admin.publish_bytes(subjects.order(desk.worker, LANE), b"", reply=reply)
    await admin.flush()
    await desk.give("real")
    assert await worker.next() == "real"
    assert dropped._value.get() == before + 2


async def test_delivery_goes_on_after_the_server_crashed(desk: Desk, worker: Worker, nats_server: NatsServer) -> None:
    await desk.give("before-crash")
    assert await worker.next() == "before-crash"
    nats_server.restart()
    await desk.open()
    await desk.give("after-crash")
    while await worker.next() != "after-crash":
        pass


async def test_delivery_goes_on_after_the_store_is_wiped(desk: Desk, worker: Worker, nats_server: NatsServer) -> None:
    await desk.give("before-wipe")
    assert await worker.next() == "before-wipe"
    nats_server.wipe_store()
    await desk.open()
    await desk.give("after-wipe")
    while await worker.next() != "after-wipe":
        pass
