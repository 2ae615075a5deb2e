"""Calls a minute, route group by route group: which rule holds, what a refusal says, what an API adds to answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.quota import Plan, PlanChanged, RateRule, RateTaken, TakeRate
from gridloom_contract.registry import TAKE_RATE, Channel
from gridloom_domain.errors import Unavailable
from gridloom_domain.rates import RateDecision
from gridloom_gateway.people import Caller
from gridloom_gateway.rates import HEADERS, Rates, rule_for
from gridloom_gateway.route import Audience, Dialect, Route

NOW = datetime(2026, 3, 4, 12, 30, 20, tzinfo=UTC)
CALLER = Caller(account="acc1", kid="kid00001", scopes=frozenset())
CREATE, REST = RateRule(group="api.create", per_minute=2), RateRule(group="api", per_minute=3)


class Quota:
    """The quota service: counts for ever, or does not answer while `is_down`. It is the plan book and the clock too."""

    def __init__(self, *rates: RateRule) -> None:
        self.plan = Plan(name="p", rates=rates)
        self.taken: dict[str, int] = {}
        self.asked = 0
        self.is_down = False

    async def request(self, channel: Channel, message: TakeRate, *, timeout_seconds: float) -> RateTaken:
        assert (channel, timeout_seconds) == (TAKE_RATE, 1.0)
        self.asked += 1
        if self.is_down:
            raise Unavailable("nobody answers")
        counter = f"{message.key} {message.group}"
        before = self.taken.get(counter, 0)
        granted = max(0, min(message.count, message.per_minute - before))
        self.taken[counter] = before + granted
        left = message.per_minute - before - granted
        return RateTaken(granted=granted, remaining=left, resets_at=NOW.replace(second=0) + timedelta(minutes=1))

    async def of(self, _account: str) -> Plan:
        return self.plan

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


async def nothing(_request: web.Request, _caller: Caller) -> web.StreamResponse:
    return web.Response()


def a_route(group: str | None = None) -> Route:
    return Route("POST", "/things", nothing, "Make a thing", response=str, rate_group=group)


def a_dialect(*rates: RateRule, audience: Audience = Audience.ACCOUNT) -> Dialect:
    return Dialect(
        name="api",
        mounts=("/api",),
        audience=audience,
        routes=(),
        render=lambda _error, _request: web.Response(),
        statuses={},
        error=None,
        rates=rates,
        rate_headers=as_headers,
    )


def as_headers(decision: RateDecision) -> dict[str, str]:
    reset = int(decision.resets_at.timestamp())
    return {
        "X-RateLimit-Limit": str(decision.limit),
        "X-RateLimit-Remaining": str(decision.remaining),
        "X-RateLimit-Reset": str(reset),
    }


class Calls:
    """Makes calls of one route and remembers what the last one was told."""

    def __init__(self, quota: Quota, dialect: Dialect, route: Route, rates: Rates | None = None) -> None:
        self.rates = rates or Rates(quota, quota, quota)
        self._limit = self.rates.of(dialect, route)
        self.headers: dict[str, str] = {}
        self.fault = FaultCode.UNKNOWN
        self.retry_after = 0.0

    async def make(self, count: int = 1, caller: Caller = CALLER) -> int:
        """Return how many of so many calls are admitted."""
        return sum([await self._is_admitted(caller) for _ in range(count)])

    async def _is_admitted(self, caller: Caller) -> bool:
        request = make_mocked_request("POST", "/api/things")
        try:
            await self._limit(request, caller)
        except FaultError as error:
            self.fault, self.retry_after = error.fault.code, error.fault.retry_after_seconds or 0.0
            return False
        finally:
            self.headers = request.get(HEADERS, {})
        return True


@pytest.mark.parametrize(
    ("groups", "planned", "defaults", "expected"),
    [
        (("api",), (), (), None),
        (("api",), (), (REST,), REST),
        (("api.create", "api"), (), (REST,), REST),
        (("api.create", "api"), (), (REST, CREATE), CREATE),
        (("api.create", "api"), (RateRule(group="api", per_minute=9),), (REST, CREATE), CREATE),
        (("api.create", "api"), (RateRule(group="api", per_minute=9),), (REST,), RateRule(group="api", per_minute=9)),
        (
            ("api.create", "api"),
            (RateRule(group="api.create", per_minute=9),),
            (CREATE,),
            RateRule(group="api.create", per_minute=9),
        ),
        (("api",), (RateRule(group="other", per_minute=9),), (), None),
    ],
)
def test_the_nearest_group_with_a_rule_counts_and_the_plans_rule_before_the_default(
    groups: tuple[str, ...], planned: tuple[RateRule, ...], defaults: tuple[RateRule, ...], expected: RateRule | None
) -> None:
    assert rule_for(groups, planned, {rule.group: rule for rule in defaults}) == expected


async def test_without_a_rule_nobody_is_asked() -> None:
    quota = Quota()
    calls = Calls(quota, a_dialect(), a_route("api.create"))

    assert await calls.make(100) == 100
    assert (quota.asked, calls.headers) == (0, {})


async def test_a_plans_rate_holds_and_a_refusal_says_when_to_come_again() -> None:
    calls = Calls(Quota(REST), a_dialect(), a_route())

    assert await calls.make(5) == 3
    assert (calls.fault, calls.retry_after) == (FaultCode.RATE_LIMITED, 40)


async def test_every_answer_carries_the_headers_that_the_api_documents() -> None:
    calls = Calls(Quota(), a_dialect(REST), a_route())
    told = []
    for _ in range(4):
        await calls.make()
        told.append((calls.headers["X-RateLimit-Limit"], calls.headers["X-RateLimit-Remaining"]))

    assert told == [("3", "2"), ("3", "1"), ("3", "0"), ("3", "0")]
    assert calls.headers["X-RateLimit-Reset"] == str(int((NOW + timedelta(seconds=40)).timestamp()))


async def test_routes_of_two_groups_are_counted_apart() -> None:
    quota = Quota()
    dialect = a_dialect(CREATE, REST)
    create = Calls(quota, dialect, a_route("api.create"))
    rest = Calls(quota, dialect, a_route(), create.rates)

    assert (await create.make(9), await rest.make(9)) == (2, 3)


async def test_keys_are_counted_apart() -> None:
    calls = Calls(Quota(REST), a_dialect(), a_route())
    other = Caller(account="acc1", kid="kid00002", scopes=frozenset())

    assert (await calls.make(9), await calls.make(9, other)) == (3, 3)


async def test_a_changed_plan_counts_at_once() -> None:
    quota = Quota(REST)
    calls = Calls(quota, a_dialect(), a_route())
    await calls.make(9)
    quota.plan = Plan(name="p", rates=(RateRule(group="api", per_minute=5),))
    await calls.rates.forget(PlanChanged())

    assert await calls.make(9) == 2


async def test_without_the_quota_service_a_gateway_counts_by_itself() -> None:
    quota = Quota(REST)
    quota.is_down = True
    calls = Calls(quota, a_dialect(), a_route())

    assert await calls.make(9) == 3
    assert quota.asked == 1


@pytest.mark.parametrize("audience", [Audience.ADMIN, Audience.ANYONE])
async def test_only_accounts_are_limited(audience: Audience) -> None:
    calls = Calls(Quota(REST), a_dialect(REST, audience=audience), a_route())

    assert await calls.make(9) == 9
