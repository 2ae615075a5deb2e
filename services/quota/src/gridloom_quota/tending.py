"""What the quota service does in time: grants end, windows turn, and whoever must know of it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from gridloom_contract import subjects
from gridloom_contract.quota import PlanChanged, QuotaReleased
from gridloom_kit import crash
from gridloom_kit.clock import Clock
from gridloom_quota import metrics
from gridloom_quota.handlers import Desk, Voice
from gridloom_quota.record import Booking, PlanRecord
from gridloom_quota.rules.sheet import Lapse, Tend

_MOST_AT_ONCE = 512
_SETTLES = timedelta(seconds=1)


class Accounts(Protocol):
    """The accounts as they are stored."""

    async def due(self, now: datetime, limit: int) -> list[str]:
        """Return accounts at which somebody must look."""
        ...

    async def lapsed(self, before: datetime, limit: int) -> list[Booking]:
        """Return reservations that are open since before a time."""
        ...

    async def wake(self, plan: str, now: datetime) -> None:
        """Have the accounts of a plan looked at of which something was refused."""
        ...

    async def reserved_tokens(self) -> int:
        """Return how many tokens are reserved in all accounts."""
        ...


class Plans(Protocol):
    """The plans."""

    async def unsettled(self, before: datetime) -> list[PlanRecord]:
        """Return plans that changed before a time and of which somebody may not have heard."""
        ...

    async def settle(self, record: PlanRecord) -> None:
        """Note that everybody has heard of the plan."""
        ...


class Tender:
    """Looks after accounts when they are due. `grace` is how long after the start no grant is closed."""

    def __init__(self, desk: Desk, accounts: Accounts, voice: Voice, clock: Clock, grace: timedelta) -> None:
        self._desk = desk
        self._accounts = accounts
        self._voice = voice
        self._clock = clock
        self._closes_from = clock.now() + grace

    async def tend(self) -> None:
        """Look at every account that is due, and tell the news."""
        now = self._clock.now()
        while due := await self._accounts.due(now, _MOST_AT_ONCE):
            may_close = now >= self._closes_from
            news = await asyncio.gather(*(self._desk.submit(Tend(account, may_close)) for account in due))
            crash.point("quota.tended")
            await self._tell(due, news)

    async def _tell(self, accounts: Sequence[str], news: Sequence[Any]) -> None:
        told = list(zip(accounts, news, strict=True))
        released = tuple(account for account, each in told if each.is_released)
        changed = tuple(account for account, each in told if each.is_changed)
        if released:
            await self._voice.publish(subjects.QUOTA_RELEASED, QuotaReleased(accounts=released))
        if changed:
            await self._voice.publish(subjects.QUOTA_PLAN_CHANGED, PlanChanged(accounts=changed))

    async def lapse(self, after: timedelta) -> None:
        """Release reservations whose end nobody ever told of."""
        lapsed = await self._accounts.lapsed(self._clock.now() - after, _MOST_AT_ONCE)
        await asyncio.gather(*(self._desk.submit(Lapse(booking.account, booking)) for booking in lapsed))

    async def measure(self) -> None:
        """Set the gauges."""
        metrics.reserved_tokens.set(await self._accounts.reserved_tokens())


class PlanTender:
    """Tells of every change of a plan once more: a crash may have hidden it, or somebody decided on the old one."""

    def __init__(self, plans: Plans, accounts: Accounts, voice: Voice, clock: Clock) -> None:
        self._plans = plans
        self._accounts = accounts
        self._voice = voice
        self._clock = clock

    async def settle(self) -> None:
        """Look at plans that changed a moment ago."""
        now = self._clock.now()
        for record in await self._plans.unsettled(now - _SETTLES):
            await self._accounts.wake(record.name, now)
            await self._voice.publish(subjects.QUOTA_PLAN_CHANGED, PlanChanged())
            crash.point("quota.plan_told")
            await self._plans.settle(record)
