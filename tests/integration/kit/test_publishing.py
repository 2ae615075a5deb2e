"""Storing many messages in a real JetStream: together where that is worth it, each by itself where it must be."""

from __future__ import annotations

import msgspec
import pytest

from gridloom_contract.streams import EVENTS, STREAMS, WORK_STREAMS
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import Outgoing
from gridloom_kit.streams import ensure_streams
from gridloom_local.nats_config import ADMIN_USER
from gridloom_testing.builders import an_order
from gridloom_testing.plugin import OpenBus
from integration.kit.test_consume import an_ending

MANY = 64


@pytest.fixture
async def admin(bus_for: OpenBus) -> Bus:
    return await bus_for(ADMIN_USER)


@pytest.fixture
async def scheduler(bus_for: OpenBus, admin: Bus) -> Bus:
    """A scheduler's connection, and streams with nothing in them."""
    bus = await bus_for("scheduler")
    await ensure_streams(bus, STREAMS)
    for stream in (EVENTS, *WORK_STREAMS.values()):
        await admin.js_api(f"STREAM.PURGE.{stream}")
    return bus


def endings(*names: str) -> list[Outgoing]:
    return [an_ending(name) for name in names]


def an_order_for(worker: str) -> Outgoing:
    return Outgoing(subject=f"work.high.m.{worker}.j", message=an_order(), message_id=f"order-{worker}")


async def stored(admin: Bus, stream: str = EVENTS) -> int:
    return int((await admin.js_api(f"STREAM.INFO.{stream}"))["state"]["messages"])


async def last_subject(admin: Bus) -> str:
    info = await admin.js_api(f"STREAM.INFO.{EVENTS}")
    message = await admin.js_api(f"STREAM.MSG.GET.{EVENTS}", {"seq": info["state"]["last_seq"]})
    return str(message["message"]["subject"])


async def is_of_a_batch(admin: Bus) -> bool:
    info = await admin.js_api(f"STREAM.INFO.{EVENTS}")
    message = await admin.js_api(f"STREAM.MSG.GET.{EVENTS}", {"seq": info["state"]["last_seq"]})
    return b"Nats-Batch-Id" in msgspec.convert(message["message"]["hdrs"], bytes, strict=False)


async def test_many_facts_are_stored_together_and_in_their_order(scheduler: Bus, admin: Bus) -> None:
    names = [f"together-{number}" for number in range(MANY)]

    assert await scheduler.publish_many(endings(*names)) == [True] * MANY
    assert await stored(admin) == MANY
    assert await last_subject(admin) == f"event.finished.together-{MANY - 1}"
    assert await is_of_a_batch(admin)


async def test_few_facts_are_not_worth_a_batch(scheduler: Bus, admin: Bus) -> None:
    assert await scheduler.publish_many(endings("few-1", "few-2", "few-3")) == [True] * 3
    assert not await is_of_a_batch(admin)


async def test_a_fact_that_is_known_already_keeps_none_of_the_others_out(scheduler: Bus, admin: Bus) -> None:
    await scheduler.publish_many(endings("known"))

    names = [f"new-{number}" for number in range(MANY)]
    assert await scheduler.publish_many(endings(*names, "known")) == [True] * (MANY + 1)
    assert await stored(admin) == MANY + 1


async def test_a_batch_that_is_sent_again_is_stored_once(scheduler: Bus, admin: Bus) -> None:
    names = [f"again-{number}" for number in range(MANY)]

    for _ in range(2):
        assert await scheduler.publish_many(endings(*names)) == [True] * MANY
    assert await stored(admin) == MANY


async def test_one_message_too_large_fails_alone(scheduler: Bus, admin: Bus) -> None:
    huge = an_ending("huge")
    huge = msgspec.structs.replace(huge, message=msgspec.structs.replace(huge.message, tag="x" * 2 * 1024 * 1024))
    names = [f"beside-{number}" for number in range(MANY)]

    assert await scheduler.publish_many([*endings(*names), huge]) == [True] * MANY + [False]
    assert await stored(admin) == MANY


async def test_orders_go_beside_the_batch_and_each_has_its_own_answer(scheduler: Bus, admin: Bus) -> None:
    facts = endings(*(f"mixed-{number}" for number in range(MANY)))
    items = [*facts[:32], an_order_for("w1"), *facts[32:], an_order_for("w1"), an_order_for("w2")]
    second = msgspec.structs.replace(items[-2], message_id="another")
    items[-2] = second  # the first order for w1 is still there

    assert await scheduler.publish_many(items) == [True] * (MANY + 1) + [False, True]
    assert await stored(admin, WORK_STREAMS["high"]) == 2


async def test_a_stream_that_takes_no_batches_gets_its_messages_one_by_one(scheduler: Bus, admin: Bus) -> None:
    await admin.js_api(f"STREAM.DELETE.{EVENTS}")
    (events,) = (stream for stream in STREAMS if stream.name == EVENTS)
    await ensure_streams(scheduler, [msgspec.structs.replace(events, config=events.config | {"allow_atomic": False})])

    names = [f"old-{number}" for number in range(MANY)]
    assert await scheduler.publish_many(endings(*names)) == [True] * MANY
    assert not await is_of_a_batch(admin)
    await ensure_streams(scheduler, STREAMS)
    await scheduler.publish_many(endings(*(f"upgraded-{number}" for number in range(MANY))))
    assert await is_of_a_batch(admin)
