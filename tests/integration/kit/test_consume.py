"""Taking messages from a real JetStream: three endings, and pulls that survive the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gridloom_contract.events import JobFinished
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.streams import EVENTS, STREAMS
from gridloom_contract.vocabulary import State
from gridloom_kit.bus import Bus
from gridloom_kit.clock import SystemClock
from gridloom_kit.consume import Puller, Reject, Retry, ensure_consumer
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.streams import KeyLease, ensure_streams, keys
from gridloom_testing.plugin import OpenBus
from gridloom_testing.servers import NatsServer

SUBJECT = "event.finished."


def an_ending(job: str) -> Outgoing:
    fact = JobFinished(
        job=job,
        account="a",
        seq=1,
        at=SystemClock().now(),
        id=job,
        state=State.SUCCEEDED,
        key="k",
        model="m",
        dialect="native",
    )
    return Outgoing(subject=SUBJECT + job, message=fact, message_id=job)


@pytest.fixture
async def scheduler(bus_for: OpenBus) -> Bus:
    bus = await bus_for("scheduler")
    await ensure_streams(bus, STREAMS)
    return bus


class Consumer:
    """Consumes as the usage service would, and does to each job what the test says."""

    def __init__(self, bus: Bus) -> None:
        self.seen: asyncio.Queue[str] = asyncio.Queue()
        self.raises: dict[str, list[Exception]] = {}
        self.stop = asyncio.Event()
        self._bus = bus
        self.puller = Puller(bus, (EVENTS, "usage"), JobFinished, self.handle, 8).made_by(self.ensure)

    async def ensure(self) -> None:
        await ensure_consumer(self._bus, EVENTS, "usage", [SUBJECT + "*"], ack_wait=30_000_000_000)

    async def handle(self, message: JobFinished, _subject: str) -> None:
        self.seen.put_nowait(message.job)
        if errors := self.raises.get(message.job):
            raise errors.pop(0)

    async def next(self) -> str:
        return await asyncio.wait_for(self.seen.get(), 10)


@pytest.fixture
async def consumer(scheduler: Bus, bus_for: OpenBus) -> AsyncIterator[Consumer]:
    usage = Consumer(await bus_for("usage"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(usage.puller.run(usage.stop))
        yield usage
        usage.stop.set()


async def unfinished(scheduler: Bus, usage: Consumer) -> int:
    """Return how many messages the consumer has not brought to an end."""
    info = await usage._bus.js_api(f"CONSUMER.INFO.{EVENTS}.usage")
    return int(info["num_pending"]) + int(info["num_ack_pending"])


async def settled(scheduler: Bus, usage: Consumer) -> None:
    """Return once every message has its ending."""
    async with asyncio.timeout(10):
        while await unfinished(scheduler, usage):
            await asyncio.sleep(0.01)


async def test_what_is_handled_is_acknowledged(scheduler: Bus, consumer: Consumer) -> None:
    assert await scheduler.publish_many([an_ending("one"), an_ending("two")]) == [True, True]
    assert {await consumer.next(), await consumer.next()} == {"one", "two"}
    await settled(scheduler, consumer)


async def test_the_same_message_is_stored_once(scheduler: Bus, consumer: Consumer) -> None:
    await scheduler.publish_many([an_ending("again")])
    assert await scheduler.publish_many([an_ending("again"), an_ending("after")]) == [True, True]
    assert [await consumer.next(), await consumer.next()] == ["again", "after"]


async def test_retry_delivers_again(scheduler: Bus, consumer: Consumer) -> None:
    consumer.raises["later"] = [Retry("not yet", after_seconds=0.05)]
    await scheduler.publish_many([an_ending("later")])
    assert [await consumer.next(), await consumer.next()] == ["later", "later"]
    await settled(scheduler, consumer)


async def test_reject_never_delivers_again(scheduler: Bus, consumer: Consumer) -> None:
    consumer.raises["bad"] = [Reject(Fault(code=FaultCode.INVALID, message="never"))]
    await scheduler.publish_many([an_ending("bad"), an_ending("next")])
    assert {await consumer.next(), await consumer.next()} == {"bad", "next"}
    await settled(scheduler, consumer)
    assert consumer.seen.empty()


async def test_a_bug_is_retried(scheduler: Bus, consumer: Consumer) -> None:
    consumer.raises["bug"] = [ZeroDivisionError()]
    await scheduler.publish_many([an_ending("bug")])
    assert [await consumer.next(), await consumer.next()] == ["bug", "bug"]


async def test_pulling_goes_on_after_the_server_crashed(
    scheduler: Bus, consumer: Consumer, nats_server: NatsServer
) -> None:
    await scheduler.publish_many([an_ending("before-crash")])
    assert await consumer.next() == "before-crash"
    nats_server.restart()
    await publish_until_stored(scheduler, "after-crash")
    while await consumer.next() != "after-crash":
        pass


async def test_the_consumer_is_made_again_after_the_store_is_wiped(
    scheduler: Bus, consumer: Consumer, nats_server: NatsServer
) -> None:
    await scheduler.publish_many([an_ending("before-wipe")])
    assert await consumer.next() == "before-wipe"
    nats_server.wipe_store()
    await remade(scheduler)
    await publish_until_stored(scheduler, "after-wipe")
    while await consumer.next() != "after-wipe":
        pass


async def publish_until_stored(scheduler: Bus, job: str) -> None:
    async with asyncio.timeout(15):
        while not all(await scheduler.publish_many([an_ending(job)])):
            await asyncio.sleep(0.05)


async def remade(scheduler: Bus) -> None:
    """Make the streams again once the connection is back."""
    async with asyncio.timeout(15):
        while True:
            try:
                await ensure_streams(scheduler, STREAMS)
            except Exception:  # noqa: BLE001 - whatever it is, the connection is not back yet
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_lease_is_held_by_one_and_falls_to_the_next_by_age(scheduler: Bus) -> None:
    first, second = KeyLease(scheduler, "SHARDS", "shard.1"), KeyLease(scheduler, "SHARDS", "shard.1")
    assert await first.acquire("a")
    assert not await second.acquire("b")
    assert await first.renew("a")
    assert await keys(scheduler, "SHARDS") == ("shard.1",)
    async with asyncio.timeout(5):
        while not await second.acquire("b"):
            await asyncio.sleep(0.05)
    assert not await first.renew("a")


async def test_a_released_lease_is_free_at_once(scheduler: Bus) -> None:
    first, second = KeyLease(scheduler, "SHARDS", "shard.2"), KeyLease(scheduler, "SHARDS", "shard.2")
    assert await first.acquire("a")
    await first.release()
    assert await second.acquire("b")
