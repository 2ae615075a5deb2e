"""Rate limits at a gateway: calls are leased from the quota service in small chunks and then allowed without asking.

One minute of one key in one route group is one counter for all gateways. What a gateway leased and does not use is lost
to the others, so it leases one call at first, more only while it uses them fast, never more than a hundredth of the
limit, and one at a time again when little is left: five gateways stay within 5 %, and the limit is never passed. A key
that has used up its minute costs the quota service nothing until the minute turns.

No I/O happens here: `take` is handed in. Calls that come while a lease is on its way ask for one call each; the quota
service answers such crowds with one write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from gridloom_contract.fault import FaultError
from gridloom_contract.quota import RateRule, RateTaken, TakeRate

Take = Callable[[TakeRate], Awaitable[RateTaken]]
"""Asks the quota service; raises `FaultError` if it does not answer in time (a second is plenty)."""

_MINUTE = timedelta(minutes=1)
_FAST = timedelta(seconds=1)
_CHUNK_PART = 100
_TAIL_PART = 16
_MOST_LEASES = 20_000
_ALONE = timedelta(seconds=2)
"""How long nobody asks after a question without an answer; it counts from the question, which took its time too."""


@dataclass(frozen=True)
class RateDecision:
    """Whether a call may be made, and what its headers say. `remaining` is what is left for all gateways."""

    is_allowed: bool
    limit: int
    remaining: int
    resets_at: datetime
    retry_after_seconds: int = 0


@dataclass
class _Lease:
    """What a gateway knows of one key in one route group in one minute.

    `left` calls are leased and unused; `elsewhere` were left on the counter. `own` counts the calls allowed here.
    """

    resets_at: datetime
    left: int = 0
    elsewhere: int = 0
    own: int = 0
    chunk: int = 1
    leased_at: datetime | None = None
    asking: int = 0
    is_used_up: bool = False


class RateLimiter:
    """Decides for one gateway. While the quota service does not answer, the gateway counts by itself."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._alone_until: datetime | None = None

    async def admit(self, key: str, rule: RateRule, now: datetime) -> RateDecision:
        """Decide about one call of `key` at `now`; a call that is refused does not count."""
        lease = self._lease_of(key, rule, now)
        if lease.left == 0 and not lease.is_used_up:
            await self._fill(key, rule, lease, now)
        if lease.left == 0:
            return _refused(lease, rule, now)
        lease.left -= 1
        lease.own += 1
        return RateDecision(True, rule.per_minute, lease.left + lease.elsewhere, lease.resets_at)

    def forget(self) -> None:
        """Forget what is used up and leased: plans have changed."""
        self._leases.clear()

    def _lease_of(self, key: str, rule: RateRule, now: datetime) -> _Lease:
        lease = self._leases.get((key, rule.group))
        if lease is not None and now < lease.resets_at:
            return lease
        self._leases.pop((key, rule.group), None)
        if len(self._leases) >= _MOST_LEASES:
            del self._leases[next(iter(self._leases))]
        begun = _Lease(resets_at=_end_of_minute(now))
        self._leases[key, rule.group] = begun
        return begun

    async def _fill(self, key: str, rule: RateRule, lease: _Lease, now: datetime) -> None:
        count = _count(lease, rule, now)
        lease.asking += 1
        try:
            taken = await self._ask(TakeRate(key=key, group=rule.group, per_minute=rule.per_minute, count=count), now)
        finally:
            lease.asking -= 1
        if taken is None:
            _count_alone(lease, rule)
            return
        lease.left += taken.granted
        lease.elsewhere = taken.remaining
        lease.is_used_up = taken.granted < count and taken.remaining == 0
        lease.resets_at = max(taken.resets_at, now)

    async def _ask(self, wish: TakeRate, now: datetime) -> RateTaken | None:
        """Return what was granted; None if nobody answers. Then one call in a while tries, the others do not wait."""
        if self._alone_until is not None:
            if now < self._alone_until:
                return None
            self._alone_until = now + _ALONE
        try:
            taken = await self._take(wish)
        except FaultError:
            self._alone_until = now + _ALONE
            return None
        self._alone_until = None
        return taken


def untouched(rule: RateRule, now: datetime) -> RateDecision:
    """Return what is true of a rule before its first call in this minute."""
    return RateDecision(True, rule.per_minute, rule.per_minute, _end_of_minute(now))


def _end_of_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + _MINUTE


def _count(lease: _Lease, rule: RateRule, now: datetime) -> int:
    """Return how many calls to lease: twice the last chunk if that was used up within a second, else one."""
    if lease.asking:
        return 1
    is_fast = lease.leased_at is not None and now - lease.leased_at < _FAST
    most = max(1, min(rule.per_minute // _CHUNK_PART, lease.elsewhere // _TAIL_PART))
    lease.chunk = min(lease.chunk * 2, most) if is_fast else 1
    lease.leased_at = now
    return lease.chunk


def _count_alone(lease: _Lease, rule: RateRule) -> None:
    """Without the common counter each gateway allows the whole limit: rather too much than nothing at all."""
    lease.left += 1 if lease.own + lease.left < rule.per_minute else 0
    lease.elsewhere = max(0, rule.per_minute - lease.own - lease.left)


def _refused(lease: _Lease, rule: RateRule, now: datetime) -> RateDecision:
    seconds = max(1, ceil((lease.resets_at - now).total_seconds()))
    return RateDecision(False, rule.per_minute, 0, lease.resets_at, seconds)
