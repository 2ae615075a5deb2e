"""How many calls a minute a key may make: judged before anything else happens, so that a refused call has no effect.

A route belongs to a group of its own or to its dialect's. For each group the plan's rule holds, else the dialect's
default; a group without either is counted with its dialect's group. All gateways count together, by leases from the
quota service (`gridloom_domain.rates`); while that does not answer, each counts by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web

from gridloom_contract.quota import Plan, PlanChanged, RateRule, RateTaken, TakeRate
from gridloom_contract.registry import TAKE_RATE, Channel
from gridloom_domain.errors import RateLimited
from gridloom_domain.rates import RateLimiter, untouched
from gridloom_gateway import metrics
from gridloom_gateway.people import Caller
from gridloom_gateway.route import Audience, Dialect, Route
from gridloom_kit.clock import Clock

_ANSWER_SECONDS: Final = 1.0

HEADERS: Final = web.RequestKey("rate_headers", dict[str, str])
"""What a dialect says about its rates: belongs on every answer, also on a refusal and on a stream."""

Limit = Callable[[web.Request, Caller], Awaitable[None]]


class Line(Protocol):
    """The way to the quota service."""

    async def request(self, channel: Channel, message: TakeRate, *, timeout_seconds: float) -> RateTaken:
        """Return the answer or raise `FaultError`."""
        ...


class PlanBook(Protocol):
    """Which plan an account is on."""

    async def of(self, account: str) -> Plan:
        """Return the plan as far as it is known."""
        ...


class Rates:
    """The limits of all routes at one gateway."""

    def __init__(self, line: Line, plans: PlanBook, clock: Clock) -> None:
        self._line = line
        self._plans = plans
        self._clock = clock
        self._limiter = RateLimiter(self._take)

    def of(self, dialect: Dialect, route: Route) -> Limit:
        """Return what counts the calls of this route; it raises `RateLimited`."""
        if dialect.audience is not Audience.ACCOUNT:
            return _unlimited
        groups = (*([route.rate_group] if route.rate_group else ()), dialect.name)
        defaults = {rule.group: rule for rule in dialect.rates}
        usual = rule_for(groups, (), defaults)

        async def limit(request: web.Request, caller: Caller) -> None:
            rules = (await self._plans.of(caller.account)).rates
            rule = rule_for(groups, rules, defaults) if rules else usual
            if rule is not None:
                await self._admit(request, caller, dialect, rule)

        return limit

    def uncounted(self, dialect: Dialect) -> Callable[[], dict[str, str]]:
        """Return what gives the headers of answers to calls that were refused before they counted."""
        spell = dialect.rate_headers
        rule = next((rule for rule in dialect.rates if rule.group == dialect.name), None)
        if spell is None or rule is None:
            return dict
        return lambda: spell(untouched(rule, self._clock.now()))

    async def forget(self, _message: PlanChanged) -> None:
        """Hear that plans changed: whoever had used up the old limit may be within the new one."""
        self._limiter.forget()

    async def _admit(self, request: web.Request, caller: Caller, dialect: Dialect, rule: RateRule) -> None:
        decision = await self._limiter.admit(caller.kid, rule, self._clock.now())
        if dialect.rate_headers is not None:
            request[HEADERS] = dialect.rate_headers(decision)
        if not decision.is_allowed:
            metrics.rate_limited.labels(rule.group).inc()
            raise RateLimited(
                f"more than {rule.per_minute} calls a minute with this key",
                retry_after_seconds=decision.retry_after_seconds,
            )

    async def _take(self, wish: TakeRate) -> RateTaken:
        return await self._line.request(TAKE_RATE, wish, timeout_seconds=_ANSWER_SECONDS)


def rule_for(groups: Sequence[str], rules: Sequence[RateRule], defaults: Mapping[str, RateRule]) -> RateRule | None:
    """Return the rule of the first group that has one, the plan's before the default; None = as fast as you like."""
    for group in groups:
        planned = next((rule for rule in rules if rule.group == group), None)
        if (rule := planned or defaults.get(group)) is not None:
            return rule
    return None


async def _unlimited(_request: web.Request, _caller: Caller) -> None:
    return None
