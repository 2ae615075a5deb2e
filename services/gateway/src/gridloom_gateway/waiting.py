"""How many jobs of an account may wait, if its plan says so. Judged before a job is handed in.

The waiting jobs are counted by the scheduler, but not for each submission: each count lets a quarter of what is left
through, and holds for a second. One gateway never lets too many wait. Several at once may: each may let a quarter of
what is left through on the same count, and the last job of an account once each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gridloom_contract.fault import FaultError
from gridloom_domain.errors import RateLimited
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

_PART = 4
_FRESH_SECONDS = 1.0
_REFUSED_SECONDS = 0.5
_RETRY_AFTER_SECONDS = 1.0
_PAUSE_SECONDS = 0.01
_MOST_REMEMBERED = 10_000

Count = Callable[[str], Awaitable[int]]


@dataclass(slots=True)
class _Account:
    """`left` more may come until `fresh_until`; nobody may until `refused_until`. `handing_in` are on their way."""

    limit: int
    left: int = 0
    fresh_until: float = 0.0
    refused_until: float = 0.0
    handing_in: int = 0
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class WaitingRoom:
    """Admits jobs of accounts whose plan limits how many may wait. `count` returns how many do, held ones too."""

    def __init__(self, count: Count, clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    @asynccontextmanager
    async def place(self, account: str, limit: int, jobs: int = 1) -> AsyncIterator[None]:
        """Have a place for so many more jobs while they are handed in. Raises `RateLimited` if too many wait."""
        known = self._known(account, limit)
        await self._admit(account, known, jobs)
        known.handing_in += jobs
        try:
            yield
        finally:
            known.handing_in -= jobs

    async def _admit(self, account: str, known: _Account, jobs: int) -> None:
        while not self._take(known, jobs):
            async with known.counting:
                if known.left < jobs or self._clock.monotonic() >= known.fresh_until:
                    await self._recount(account, known, jobs)

    def _take(self, known: _Account, jobs: int) -> bool:
        now = self._clock.monotonic()
        if now < known.refused_until:
            raise _too_many(known)
        if known.left < jobs or now >= known.fresh_until:
            return False
        known.left -= jobs
        return True

    async def _recount(self, account: str, known: _Account, jobs: int) -> None:
        if self._clock.monotonic() < known.refused_until:
            return
        on_their_way = known.handing_in  # whether they are counted already nobody knows
        left = known.limit - await self._waiting(account)
        now = self._clock.monotonic()
        if left <= 0:
            known.left, known.refused_until = 0, now + _REFUSED_SECONDS
        elif left < jobs:
            raise _too_many(known)
        elif left - on_their_way < jobs:
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            known.left, known.fresh_until = max(jobs, (left - on_their_way) // _PART), now + _FRESH_SECONDS

    async def _waiting(self, account: str) -> int:
        try:
            return await self._count(account)
        except FaultError as error:  # whoever takes the job in will say whether it can
            log.warning("waiting.not_counted", account=account, err=error.fault.message)
            return 0

    def _known(self, account: str, limit: int) -> _Account:
        known = self._accounts.get(account)
        if known is None or known.limit != limit:
            if len(self._accounts) >= _MOST_REMEMBERED:
                self._accounts.pop(next(iter(self._accounts)))
            known = self._accounts[account] = _Account(limit)
        return known


def _too_many(known: _Account) -> RateLimited:
    message = f"as many jobs wait already as the plan allows: {known.limit}"
    return RateLimited(message, retry_after_seconds=_RETRY_AFTER_SECONDS)
