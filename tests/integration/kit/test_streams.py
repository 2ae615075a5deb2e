"""Streams become what the contract says: updated where JetStream can, made anew only where nothing is lost by it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gridloom_contract.streams import EVENTS, STREAMS, WORK_STREAMS, Stream
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import JetStreamApiError, Outgoing
from gridloom_kit.streams import ensure_streams
from gridloom_local.nats_config import ADMIN_USER
from gridloom_testing.builders import an_order
from gridloom_testing.plugin import OpenBus
from integration.kit.test_consume import an_ending


@pytest.fixture
async def admin(bus_for: OpenBus) -> Bus:
    """Somebody who may do everything, and no stream at all."""
    bus = await bus_for(ADMIN_USER)
    for stream in (await bus.js_api("STREAM.NAMES"))["streams"] or ():
        await bus.js_api(f"STREAM.DELETE.{stream}")
    return bus


def stored(storage: str, *names: str) -> tuple[Stream, ...]:
    """The contract's streams, those of these names stored elsewhere than it says."""
    return tuple(
        msgspec.structs.replace(stream, config=stream.config | {"storage": storage}) if stream.name in names else stream
        for stream in STREAMS
    )


async def info_of(admin: Bus, stream: str) -> tuple[str, int]:
    """Where a stream is stored, and how many messages it has."""
    info: dict[str, Any] = await admin.js_api(f"STREAM.INFO.{stream}")
    return info["config"]["storage"], info["state"]["messages"]


async def test_orders_of_an_older_grid_leave_the_disk_and_their_streams_are_new(admin: Bus, bus_for: OpenBus) -> None:
    scheduler, work = await bus_for("scheduler"), tuple(WORK_STREAMS.values())
    await ensure_streams(admin, stored("file", *work))
    order = Outgoing(subject="work.normal.m.w.j", message=an_order(), message_id="j:1")
    assert await scheduler.publish_many([order]) == [True]
    assert await info_of(admin, "WORK_NORMAL") == ("file", 1)

    assert await ensure_streams(scheduler, STREAMS) == work

    assert [await info_of(admin, stream) for stream in work] == [("memory", 0)] * len(work)
    assert await ensure_streams(scheduler, STREAMS) == ()
    assert await scheduler.publish_many([order]) == [True]
    assert await info_of(admin, "WORK_NORMAL") == ("memory", 1)


async def test_a_stream_that_may_not_be_deleted_stays_where_it_is(admin: Bus, bus_for: OpenBus) -> None:
    scheduler = await bus_for("scheduler")
    await ensure_streams(admin, stored("memory", EVENTS))
    wanted = [msgspec.structs.replace(stream, is_rebuilt=True) for stream in STREAMS if stream.name == EVENTS]

    assert await ensure_streams(scheduler, wanted) == ()

    assert await info_of(admin, EVENTS) == ("memory", 0)
    await admin.js_api(f"STREAM.DELETE.{EVENTS}")


async def test_facts_are_never_deleted_to_store_them_elsewhere(admin: Bus, bus_for: OpenBus) -> None:
    scheduler = await bus_for("scheduler")
    await ensure_streams(admin, stored("memory", EVENTS))
    assert await scheduler.publish_many([an_ending("kept")]) == [True]

    with pytest.raises(JetStreamApiError):
        await ensure_streams(scheduler, STREAMS)

    assert await info_of(admin, EVENTS) == ("memory", 1)
    await admin.js_api(f"STREAM.DELETE.{EVENTS}")
