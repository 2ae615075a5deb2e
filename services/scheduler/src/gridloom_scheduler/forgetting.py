"""Forgets the sealed API keys of webhooks. They are in the facts of a job until these can be told again no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_scheduler.rules.retelling import TOLD_AGAIN_SECONDS

log = get_logger()

FORGETTING_SECONDS = 60.0
_KEPT = timedelta(seconds=TOLD_AGAIN_SECONDS + 3600.0)
"""An hour more than what is told again: telling takes its time, too."""
_AT_ONCE = 500


class Keys(Protocol):
    """The sealed keys."""

    async def holding(self, ended_before: datetime, limit: int) -> list[str]:
        """Return jobs that hold some."""
        ...

    async def forget(self, jobs: Iterable[str], ended_before: datetime) -> int:
        """Forget those of these jobs."""
        ...


class Forgetting:
    """`is_mine` says whether this replica is the one that forgets."""

    def __init__(self, keys: Keys, clock: Clock, is_mine: Callable[[], bool]) -> None:
        self._keys = keys
        self._clock = clock
        self._is_mine = is_mine

    async def forget(self) -> None:
        """Forget all keys of jobs that ended long enough ago."""
        if not self._is_mine():
            return
        ended_before = self._clock.now() - _KEPT
        while jobs := await self._keys.holding(ended_before, _AT_ONCE):
            log.info("keys.forgotten", jobs=await self._keys.forget(jobs, ended_before))
