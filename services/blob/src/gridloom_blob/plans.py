"""What accounts' plans say about files: how many bytes, and how long. Asked from quota, remembered for a while."""

from __future__ import annotations

from datetime import timedelta

from gridloom_blob.rules import Limits
from gridloom_contract import registry
from gridloom_contract.fault import FaultError
from gridloom_contract.quota import AccountQuota, GetQuota, Plan, PlanChanged
from gridloom_kit.bus import Bus
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

_FRESH_SECONDS = 300.0
_MOST_REMEMBERED = 10_000
_SECONDS = 2.0


class Plans:
    """Remembers plans; quota says when one changes."""

    def __init__(self, bus: Bus, clock: Clock, limits: Limits, retention: timedelta) -> None:
        self._bus = bus
        self._clock = clock
        self._limits = limits
        self._retention = retention
        self._known: dict[str, tuple[Plan, float]] = {}
        self._changed_at = float("-inf")

    async def on_changed(self, news: PlanChanged) -> None:
        """Ask again next time."""
        self._changed_at = self._clock.monotonic()
        if not news.accounts:
            self._known.clear()
        for account in news.accounts:
            self._known.pop(account, None)

    async def limits_of(self, account: str) -> Limits:
        """Return what an account may keep; if quota does not answer, by what it said last or else what any may."""
        try:
            plan = await self._plan_of(account)
        except FaultError as error:
            log.warning("plans.unknown", account=account, err=str(error))
            if account not in self._known:
                return self._limits
            plan = self._known[account][0]
        most_bytes = self._limits.max_bytes if plan.max_blob_bytes is None else plan.max_blob_bytes
        return Limits(most_bytes, self._limits.max_objects, self._limits.max_open_slots)

    async def retention_of(self, account: str) -> timedelta:
        """Return how long an account's data is kept. Raises `unavailable`: what is deleted too early is gone."""
        days = (await self._plan_of(account)).retention_days
        return self._retention if days is None else timedelta(days=days)

    async def _plan_of(self, account: str) -> Plan:
        plan, asked_at = self._known.get(account, (None, 0.0))
        if plan is not None and self._clock.monotonic() - asked_at < _FRESH_SECONDS:
            return plan
        asked_at = self._clock.monotonic()
        found: AccountQuota = await self._bus.request(
            registry.GET_QUOTA, GetQuota(account=account), timeout_seconds=_SECONDS
        )
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        if asked_at > self._changed_at:  # otherwise this may be what it was before
            self._known[account] = found.plan, asked_at
        return found.plan
