"""Calls a minute: one counter for all gateways and all quota services."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gridloom_contract import registry
from gridloom_contract.fault import FaultError
from gridloom_contract.quota import RateRule, RateTaken, TakeRate
from gridloom_domain.rates import RateLimiter
from integration.quota.conftest import Replica, StartQuota
from integration.quota.scripted import Gateway, now


@pytest.fixture(autouse=True)
async def early_in_the_minute() -> None:
    """Wait for the next minute if this one is nearly over: a test counts within one."""
    left = 60 - now().second
    if left < 8:
        await asyncio.sleep(left)


async def test_calls_are_handed_out_up_to_the_limit_and_refused_ones_do_not_count(
    quota: Replica, gateway: Gateway
) -> None:
    first, second, third = [await gateway.take_rate("key1", 10, count) for count in (7, 5, 1)]
    assert [(taken.granted, taken.remaining) for taken in (first, second, third)] == [(7, 3), (3, 0), (0, 0)]
    assert first.resets_at == now().replace(second=0, microsecond=0) + timedelta(minutes=1)


async def test_the_next_minute_counts_anew(quota: Replica, gateway: Gateway) -> None:
    assert (await gateway.take_rate("key1", 5, 5)).granted == 5
    quota.clock.ahead += timedelta(minutes=1)
    assert (await gateway.take_rate("key1", 5, 5)).granted == 5


async def test_a_crowd_at_several_replicas_gets_exactly_the_limit(start_quota: StartQuota, gateway: Gateway) -> None:
    for _ in range(2):
        await start_quota()
    taken: list[RateTaken] = await asyncio.gather(*(gateway.take_rate("key1", 100, 3) for _ in range(60)))
    assert sum(each.granted for each in taken) == 100
    assert (await gateway.take_rate("key2", 100, 3)).granted == 3


async def test_several_gateways_allow_the_limit_to_within_5_percent(quota: Replica, gateway: Gateway) -> None:
    async def take(wish: TakeRate) -> RateTaken:
        taken: RateTaken = await gateway.bus.request(registry.TAKE_RATE, wish, timeout_seconds=1.0)
        return taken

    limiters = [RateLimiter(take) for _ in range(4)]
    rule = RateRule(group="native", per_minute=600)

    async def calls(limiter: RateLimiter) -> int:
        decisions = [await limiter.admit("key1", rule, now()) for _ in range(300)]
        return sum(decision.is_allowed for decision in decisions)

    allowed = sum(await asyncio.gather(*(calls(limiter) for limiter in limiters)))
    assert 570 <= allowed <= 600


@pytest.mark.parametrize(("per_minute", "count"), [(10, -1), (-1, 1), (10, 2**70)])
async def test_what_cannot_be_counted_is_refused(quota: Replica, gateway: Gateway, per_minute: int, count: int) -> None:
    with pytest.raises(FaultError, match="calls are 0 to"):
        await gateway.take_rate("key1", per_minute, count)
