"""The record of deliveries on a real MongoDB: what is asked often is asked of an index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridloom_contract.webhooks import DeliveryState
from gridloom_kit.mongo import Database, ensure_indexes
from gridloom_webhook.record import Delivery
from gridloom_webhook.store.deliveries import DeliveryStore
from gridloom_webhook.store.indexes import DELIVERIES, INDEXES, PENDING

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def a_delivery(number: int, **changes: Any) -> Delivery:
    usual: dict[str, Any] = {
        "id": f"evt_{number}_1",
        "job": str(number),
        "account": "acc1",
        "event": "completed",
        "url": "https://example.org/hooks",
        "body": b"{}",
        "occurred_at": NOW,
        "created_at": NOW,
        "next_at": NOW,
    }
    return Delivery(**(usual | changes))


@pytest.fixture
async def store(database: Database) -> DeliveryStore:
    await ensure_indexes(database, INDEXES)
    return DeliveryStore(database, retention_seconds=60)


async def test_an_event_is_stored_once(store: DeliveryStore) -> None:
    assert await store.insert([a_delivery(1), a_delivery(2)]) == [True, True]
    assert await store.insert([a_delivery(2), a_delivery(3)]) == [False, True]


async def test_the_first_of_every_lane_is_found_by_skipping_over_the_others(
    store: DeliveryStore, database: Database
) -> None:
    await store.insert([a_delivery(n, account=f"acc{n % 3}", next_at=NOW + timedelta(seconds=n)) for n in range(300)])
    found = await store.horizon()
    assert sorted(found) == [(f"acc{n} https://example.org", NOW + timedelta(seconds=n)) for n in range(3)]
    stages = [
        {"$match": PENDING},
        {"$sort": {"state": 1, "lane": 1, "next_at": 1}},
        {"$group": {"_id": "$lane", "next_at": {"$first": "$next_at"}}},
    ]
    plan = await database.command(
        "explain",
        {"aggregate": DELIVERIES, "pipeline": stages, "cursor": {}, "hint": "due"},
        verbosity="executionStats",
    )
    assert "DISTINCT_SCAN" in str(plan), plan


async def test_of_two_that_want_the_same_delivery_one_wins(store: DeliveryStore) -> None:
    await store.insert([a_delivery(1)])
    until = NOW + timedelta(seconds=40)
    lane = "acc1 https://example.org"
    first = await store.claim(lane, NOW, ("a", until), 4)
    second = await store.claim(lane, NOW, ("b", until), 4)
    assert [one.lease for one in first.won] == ["a"]
    assert second.won == ()
    assert second.next_at == until


async def test_what_is_not_due_is_not_won(store: DeliveryStore) -> None:
    later = NOW + timedelta(seconds=1)
    await store.insert([a_delivery(1), a_delivery(2, next_at=later)])
    claim = await store.claim("acc1 https://example.org", NOW, ("a", NOW + timedelta(seconds=40)), 4)
    assert [one.job for one in claim.won] == ["1"]
    assert claim.next_at == later
    assert claim.won[0].state is DeliveryState.PENDING


async def test_large_bodies_are_won_a_few_at_a_time(store: DeliveryStore) -> None:
    await store.insert([a_delivery(n, body=b"x" * 1_000_000) for n in range(6)])
    claim = await store.claim("acc1 https://example.org", NOW, ("a", NOW + timedelta(seconds=40)), 6)
    assert (len(claim.won), claim.next_at) == (2, NOW)
