"""Calls a minute at a running gateway: refused before anything else happens, in the API's own shape."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract import registry
from gridloom_contract.quota import AccountQuota, GetQuota, Plan, PlanChanged, RateRule, RateTaken, TakeRate
from gridloom_kit.bus import Bus
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.conftest import OpenGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler


class ScriptedQuota:
    """A quota service with one plan for everybody, whose minute lasts until the test ends."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.plan = Plan(name="default")
        self.taken: dict[str, int] = {}
        self.is_awake = asyncio.Event()
        self.is_awake.set()

    async def arrive(self) -> None:
        """Start to answer."""
        await self.bus.answer(registry.GET_QUOTA, self._get, queue="quota")
        await self.bus.answer(registry.TAKE_RATE, self._take, queue="quota")
        await self.bus.flush()

    async def put(self, *rates: RateRule) -> None:
        """Change the plan and say so."""
        self.plan = Plan(name="default", rates=rates)
        await self.bus.publish(registry.PLAN_CHANGED.subject, PlanChanged())
        await self.bus.flush()

    async def _get(self, message: GetQuota, _subject: str) -> AccountQuota:
        return AccountQuota(account=message.account, plan=self.plan)

    async def _take(self, message: TakeRate, _subject: str) -> RateTaken:
        await self.is_awake.wait()
        counter = f"{message.key} {message.group}"
        before = self.taken.get(counter, 0)
        granted = max(0, min(message.count, message.per_minute - before))
        self.taken[counter] = before + granted
        left = message.per_minute - before - granted
        return RateTaken(granted=granted, remaining=left, resets_at=datetime.now(UTC) + timedelta(seconds=50))


@pytest.fixture
async def quota(bus_for: OpenBus) -> ScriptedQuota:
    """A quota service that has arrived."""
    quota = ScriptedQuota(await bus_for("quota"))
    await quota.arrive()
    return quota


@pytest.fixture
async def client(quota: ScriptedQuota, client: ApiClient) -> ApiClient:
    """A client of an account with a plan."""
    return client


async def statuses(client: ApiClient, count: int) -> list[int]:
    return [(await client.call("GET", JOBS)).status for _ in range(count)]


async def until_limited(client: ApiClient) -> None:
    """The word of a new plan travels over the bus: soon, not before the next call."""
    async with asyncio.timeout(5):
        while (await client.call("GET", JOBS)).status != 429:
            pass


async def test_the_native_api_has_no_limit_unless_the_plan_says_so(client: ApiClient) -> None:
    assert set(await statuses(client, 100)) == {200}
    answer = await client.call("GET", JOBS)
    assert not [name for name in answer.headers if "ratelimit" in name.lower()]


async def test_a_call_too_many_is_refused_in_the_apis_shape_and_has_no_effect(
    client: ApiClient, quota: ScriptedQuota, scheduler: ScriptedScheduler
) -> None:
    await quota.put(RateRule(group="native", per_minute=10))
    await until_limited(client)
    before = len(scheduler.jobs)
    answer = await client.call("POST", JOBS, {"model": "m", "prompt": "p"}, key="k")

    assert (answer.status, answer.body["error"]) == (429, "rate_limited")
    assert set(answer.body) == {"error", "message", "request_id"}
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert len(scheduler.jobs) == before
    assert quota.taken == dict.fromkeys(quota.taken, 10)
    await quota.put()
    async with asyncio.timeout(5):
        while (await client.call("POST", JOBS, {"model": "m", "prompt": "p"}, key="k")).status != 201:
            pass


async def test_submissions_can_have_a_rate_of_their_own(client: ApiClient, quota: ScriptedQuota) -> None:
    await quota.put(RateRule(group="native.submit", per_minute=2))
    async with asyncio.timeout(5):
        while (await client.call("POST", JOBS, {"model": "m", "prompt": "p"})).status != 429:
            pass

    assert set(await statuses(client, 50)) == {200}


async def test_a_quota_service_that_is_stuck_costs_one_wait_and_each_gateway_counts_by_itself(
    client: ApiClient, quota: ScriptedQuota
) -> None:
    await quota.put(RateRule(group="native", per_minute=5))
    quota.is_awake.clear()
    started = asyncio.get_running_loop().time()
    await until_limited(client)

    assert asyncio.get_running_loop().time() - started < 3
    assert set(await statuses(client, 5)) == {429}
    quota.is_awake.set()


async def test_a_call_that_is_not_let_in_does_not_count(
    open_gateway: OpenGateway, quota: ScriptedQuota, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway()
    quota.plan = Plan(name="default", rates=(RateRule(group="native", per_minute=5),))
    reader: Tenant = await gateway.tenant(scopes=["jobs:read"])
    async with ApiClient(gateway.url, reader.key) as client:
        refused = [(await client.call("DELETE", f"{JOBS}/cancel_all")).status for _ in range(10)]
        assert set(refused) == {403}
        assert await statuses(client, 7) == [200] * 5 + [429] * 2


async def test_failed_authentications_are_counted_by_client_behind_a_trusted_proxy(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(auth_failures_per_minute=3, trusted_proxies=("127.0.0.0/8",))
    async with ApiClient(gateway.url, "guess") as guessing:

        async def tried_from(address: str) -> int:
            async with guessing.session.get(JOBS, headers={"X-Forwarded-For": address}) as answer:
                return answer.status

        assert [await tried_from("203.0.113.7") for _ in range(4)] == [401, 401, 429, 429]
        assert await tried_from("198.51.100.1") == 401
        assert await tried_from("203.0.113.7, 198.51.100.2") == 401


async def test_what_others_say_of_where_they_come_from_is_not_believed(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(auth_failures_per_minute=3)
    async with ApiClient(gateway.url, "guess") as guessing:
        seen = []
        for number in range(4):
            async with guessing.session.get(JOBS, headers={"X-Forwarded-For": f"203.0.113.{number}"}) as answer:
                seen.append(answer.status)

    assert seen == [401, 401, 429, 429]
