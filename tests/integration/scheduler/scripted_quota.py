"""A quota service that gives exactly what a test says; unless told otherwise, nobody has any limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from gridloom_contract import registry, subjects
from gridloom_contract.quota import (
    Grant,
    GrantRequest,
    GrantsReturned,
    GrantsTaken,
    PlanChanged,
    QuotaReleased,
    ReturnGrants,
    TakeGrants,
)
from gridloom_kit.bus import Bus
from gridloom_kit.wire import Subscription


def within(seconds: float) -> datetime:
    """Return the time of day in so many seconds."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class ScriptedQuota:
    """Answers schedulers. `room` is what an account may still be granted; without an entry it has no limits.

    A grant has `spare` tokens more than were asked for.
    """

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.room: dict[str, int] = {}
        self.most_parallel: dict[str, int] = {}
        self.spare = 0
        self.held_seconds = 3_600.0
        self.asked: list[GrantRequest] = []
        self.granted: dict[str, int] = {}
        self.returned: dict[str, int] = {}
        self._numbers = count(1)
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Begin to answer."""
        self._subscriptions = [
            await self.bus.answer(registry.TAKE_GRANTS, self._on_take, queue=registry.QUOTA),
            await self.bus.answer(registry.RETURN_GRANTS, self._on_return, queue=registry.QUOTA),
        ]
        await self.bus.flush()

    async def close(self) -> None:
        """Answer no more, as a service that is down."""
        for subscription in self._subscriptions:
            await subscription.close()
        await self.bus.flush()

    async def release(self, account: str, room: int) -> None:
        """Give an account room and tell so."""
        self.room[account] = room
        await self.bus.publish(subjects.QUOTA_RELEASED, QuotaReleased(accounts=(account,)))

    async def change_plan(self, account: str, **plan: Any) -> None:
        """Put an account on another plan (`room`, `most_parallel`) and tell so."""
        for name in ("room", "most_parallel"):
            if name in plan:
                getattr(self, name)[account] = plan[name]
        await self.bus.publish(subjects.QUOTA_PLAN_CHANGED, PlanChanged(accounts=(account,)))

    async def _on_take(self, message: TakeGrants, _subject: str) -> GrantsTaken:
        self.asked += message.requests
        return GrantsTaken(grants=tuple(self._grant(request) for request in message.requests))

    def _grant(self, request: GrantRequest) -> Grant:
        account = request.account
        usual = {"account": account, "max_parallel": self.most_parallel.get(account)}
        if account not in self.room:
            return Grant(**usual, unlimited=True, expires_at=within(10))
        if self.room[account] < request.tokens:
            return Grant(**usual, held_until=within(self.held_seconds))
        tokens = min(self.room[account], request.tokens + self.spare)
        self.room[account] -= tokens
        grant = f"g{next(self._numbers)}"
        self.granted[grant] = tokens
        return Grant(**usual, grant=grant, tokens=tokens, expires_at=within(30))

    async def _on_return(self, message: ReturnGrants, _subject: str) -> GrantsReturned:
        self.returned |= dict(zip(message.grants, message.spent, strict=True))
        return GrantsReturned(count=len(message.grants))
