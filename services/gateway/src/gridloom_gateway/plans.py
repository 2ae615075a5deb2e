"""Which plan an account is on: asked of the quota service once, then remembered until it changes or a while has passed.

Nothing a client waits for depends on the quota service being there: without an answer the last known plan holds, and
an account of which nothing is known yet is taken to have no limits. The tokens themselves are counted elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from gridloom_contract.fault import FaultError
from gridloom_contract.quota import AccountQuota, GetQuota, Plan, PlanChanged
from gridloom_contract.registry import GET_QUOTA, Channel
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

_ANSWER_SECONDS = 2.0
_FRESH_SECONDS = 30.0
_AFTER_FAILURE_SECONDS = 2.0
"""So long nobody asks again after the quota service did not answer: its absence must not slow every request."""
_MOST_REMEMBERED = 50_000
_WITHOUT_LIMITS = Plan(name="default")


class Line(Protocol):
    """The way to the quota service."""

    async def request(self, channel: Channel, message: GetQuota, *, timeout_seconds: float) -> AccountQuota:
        """Return the answer or raise `FaultError`."""
        ...


@dataclass(slots=True)
class _Known:
    plan: Plan
    until: float


class Plans:
    """The plans of accounts. `of` costs a look into memory nearly always."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Future[Plan]] = {}
        self._changes = 0

    async def of(self, account: str) -> Plan:
        """Return the account's plan as far as it is known. Never raises; waits two seconds at the longest."""
        known = self._known.get(account)
        if known is not None and self._clock.monotonic() < known.until:
            return known.plan
        under_way = self._asking.get(account)
        if under_way is not None:
            return await asyncio.shield(under_way)
        return await self._look_up(account)

    async def quota(self, account: str) -> AccountQuota:
        """Return how the account stands now, its plan included. Raises `Unavailable` without the quota service."""
        return await self._line.request(GET_QUOTA, GetQuota(account=account), timeout_seconds=_ANSWER_SECONDS)

    async def forget(self, message: PlanChanged) -> None:
        """Hear that plans changed: ask again before the next use of them."""
        self._changes += 1
        for account in message.accounts or list(self._known):
            if account in self._known:
                self._known[account].until = float("-inf")

    async def _look_up(self, account: str) -> Plan:
        answered: asyncio.Future[Plan] = asyncio.get_running_loop().create_future()
        self._asking[account] = answered
        plan = self._last_known(account)
        try:
            plan = await self._ask(account)
        finally:
            # Also if this caller went away: others may wait for the same answer.
            del self._asking[account]
            answered.set_result(plan)
        return plan

    async def _ask(self, account: str) -> Plan:
        changes = self._changes
        try:
            plan = (await self.quota(account)).plan
        except FaultError as error:
            log.warning("plans.not_answered", account=account, err=error.fault.message)
            plan = self._last_known(account)
            self._remember(account, plan, _AFTER_FAILURE_SECONDS)
            return plan
        # What changed while the answer was on its way may not be in it.
        self._remember(account, plan, _FRESH_SECONDS if changes == self._changes else 0.0)
        return plan

    def _last_known(self, account: str) -> Plan:
        known = self._known.get(account)
        return known.plan if known is not None else _WITHOUT_LIMITS

    def _remember(self, account: str, plan: Plan, seconds: float) -> None:
        self._known.pop(account, None)
        if len(self._known) >= _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[account] = _Known(plan, self._clock.monotonic() + seconds)
