"""Rate limits of several gateways over one counter: exact to within 5 %, and never more than the limit."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.quota import RateRule, RateTaken, TakeRate
from gridloom_domain.rates import RateDecision, RateLimiter

NOW = datetime(2026, 3, 5, 13, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Counter:
    """The quota service's side: one atomic counter a key, group and minute."""

    def __init__(self) -> None:
        self.now = NOW
        self.taken: dict[tuple[str, str, datetime], int] = defaultdict(int)
        self.questions = 0
        self.is_down = False

    async def take(self, wish: TakeRate) -> RateTaken:
        self.questions += 1
        await asyncio.sleep(0)  # others come between question and answer
        if self.is_down:
            raise FaultError(Fault(code=FaultCode.UNAVAILABLE, message="nobody answers"))
        minute = self.now.replace(second=0, microsecond=0)
        counter = (wish.key, wish.group, minute)
        granted = max(0, min(wish.count, wish.per_minute - self.taken[counter]))
        self.taken[counter] += granted
        answer = RateTaken(granted=granted, remaining=wish.per_minute - self.taken[counter], resets_at=minute + MINUTE)
        await asyncio.sleep(0)
        return answer


class Gateways:
    """Several gateways that share a counter and a clock."""

    def __init__(self, count: int) -> None:
        self.counter = Counter()
        self.limiters = [RateLimiter(self.counter.take) for _ in range(count)]

    async def call(self, gateway: int, rule: RateRule, key: str = "key1") -> RateDecision:
        return await self.limiters[gateway].admit(key, rule, self.counter.now)

    async def crowd(self, gateways: Sequence[int], rule: RateRule) -> int:
        """Calls that come at the same moment. Returns how many are allowed."""
        decisions = await asyncio.gather(*(self.call(gateway, rule) for gateway in gateways))
        return sum(decision.is_allowed for decision in decisions)


def a_rule(per_minute: int) -> RateRule:
    return RateRule(group="native", per_minute=per_minute)


async def test_one_gateway_allows_exactly_the_limit() -> None:
    gateways = Gateways(1)
    decisions = [await gateways.call(0, a_rule(60)) for _ in range(100)]
    assert [decision.is_allowed for decision in decisions] == [True] * 60 + [False] * 40
    assert [decision.remaining for decision in decisions[:60]] == list(range(59, -1, -1))
    assert decisions[60] == RateDecision(False, 60, 0, NOW + MINUTE, 60)


async def test_a_used_up_minute_costs_no_more_questions_and_the_next_one_begins_anew() -> None:
    gateways = Gateways(1)
    for _ in range(61):
        await gateways.call(0, a_rule(60))
    asked = gateways.counter.questions
    for _ in range(1_000):
        await gateways.call(0, a_rule(60))
    assert gateways.counter.questions == asked
    gateways.counter.now += MINUTE
    assert (await gateways.call(0, a_rule(60))).is_allowed


@pytest.mark.parametrize("per_minute", [1, 10, 60, 600, 3_000])
@pytest.mark.parametrize("count", [1, 2, 5])
async def test_all_gateways_together_allow_the_limit_to_within_5_percent(per_minute: int, count: int) -> None:
    chance = random.Random(per_minute * count)  # noqa: S311
    gateways, allowed, calls = Gateways(count), 0, per_minute * 3
    for _ in range(calls):
        gateways.counter.now += timedelta(seconds=55 / calls)
        allowed += (await gateways.call(chance.randrange(count), a_rule(per_minute))).is_allowed
    assert 0.95 * per_minute <= allowed <= per_minute


@pytest.mark.parametrize("per_minute", [60, 600, 3_000])
async def test_what_idle_gateways_hold_is_within_5_percent(per_minute: int) -> None:
    gateways, allowed = Gateways(5), 0
    for gateway in range(5):  # every one is busy for a while, and then only the last one is
        for _ in range(per_minute // 8):
            gateways.counter.now += timedelta(milliseconds=1)
            allowed += (await gateways.call(gateway, a_rule(per_minute))).is_allowed
    for _ in range(per_minute):
        allowed += (await gateways.call(4, a_rule(per_minute))).is_allowed
    assert 0.95 * per_minute <= allowed <= per_minute


@pytest.mark.parametrize("per_minute", [60, 600, 3_000])
async def test_crowds_that_come_at_once_are_counted_exactly(per_minute: int) -> None:
    gateways, allowed = Gateways(4), 0
    for _ in range(per_minute // 25):
        gateways.counter.now += timedelta(milliseconds=100)
        allowed += await gateways.crowd([index % 4 for index in range(50)], a_rule(per_minute))
    assert 0.95 * per_minute <= allowed <= per_minute


async def test_a_fast_caller_asks_seldom() -> None:
    gateways = Gateways(1)
    for _ in range(3_000):
        gateways.counter.now += timedelta(milliseconds=10)
        await gateways.call(0, a_rule(3_000))
    assert gateways.counter.questions < 300


async def test_keys_and_groups_do_not_share() -> None:
    gateways = Gateways(1)
    for _ in range(3):
        await gateways.call(0, RateRule(group="a", per_minute=1), "key1")
    assert (await gateways.call(0, RateRule(group="a", per_minute=1), "key2")).is_allowed
    assert (await gateways.call(0, RateRule(group="b", per_minute=1), "key1")).is_allowed


async def test_without_the_quota_service_each_gateway_counts_by_itself_and_asks_once_in_a_while() -> None:
    gateways = Gateways(1)
    gateways.counter.is_down = True
    decisions = [await gateways.call(0, a_rule(10)) for _ in range(15)]
    assert [decision.is_allowed for decision in decisions] == [True] * 10 + [False] * 5
    assert gateways.counter.questions == 1
    gateways.counter.now += timedelta(seconds=2)
    gateways.counter.is_down = False
    assert (await gateways.call(0, a_rule(10))).is_allowed


async def test_while_one_call_tries_whether_the_quota_service_is_back_no_other_waits() -> None:
    gateways = Gateways(1)
    gateways.counter.is_down = True
    await gateways.call(0, a_rule(10))
    gateways.counter.now += timedelta(seconds=2)

    assert await gateways.crowd([0] * 20, a_rule(10)) == 9
    assert gateways.counter.questions == 2


async def test_a_new_plan_counts_at_once() -> None:
    gateways = Gateways(1)
    for _ in range(3):
        await gateways.call(0, a_rule(2))
    gateways.limiters[0].forget()
    assert (await gateways.call(0, a_rule(5))).is_allowed


async def test_whoever_must_wait_is_told_whole_seconds() -> None:
    gateways = Gateways(1)
    gateways.counter.now += timedelta(seconds=59, milliseconds=800)
    await gateways.call(0, a_rule(1))
    assert (await gateways.call(0, a_rule(1))).retry_after_seconds == 1
