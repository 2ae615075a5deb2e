"""Calls a minute, counted for all gateways in one place; what they ask at the same time is one write a counter."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from gridloom_contract.quota import RateTaken, TakeRate
from gridloom_domain.errors import Invalid, Unavailable
from gridloom_kit import crash
from gridloom_kit.clock import Clock
from gridloom_quota import metrics
from gridloom_quota.rules.sharing import shares
from gridloom_quota.rules.windows import minute_of
from gridloom_quota.store.errors import StoreError

_MINUTE = timedelta(minutes=1)
_SEPARATOR = " "
_MOST_CALLS = 1_000_000


class Counters(Protocol):
    """The counters of all minutes."""

    async def take(self, counter: str, minute: datetime, count: int, per_minute: int) -> int:
        """Take up to `count` calls of one minute. Returns how many had been taken before."""
        ...


class Counted(Protocol):
    """Where wishes for calls come together."""

    async def submit(self, item: TakeRate) -> RateTaken:
        """Return what of a wish may be had."""
        ...


class _Counter(NamedTuple):
    key: str
    group: str
    per_minute: int


class RateBooks:
    """Takes calls for batches of wishes; `commit` is what a `GroupCommit` takes."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock

    async def commit(self, wishes: list[TakeRate]) -> list[RateTaken]:
        """Return what of each wish may be had. Raises `Unavailable` if nobody knows."""
        minute = minute_of(self._clock.now())
        same: dict[_Counter, list[int]] = defaultdict(list)
        for index, wish in enumerate(wishes):
            same[_Counter(wish.key, wish.group, wish.per_minute)].append(index)
        answers: dict[int, RateTaken] = {}
        try:
            taken = await asyncio.gather(
                *(
                    self._take(counter, [wishes[index].count for index in places], minute)
                    for counter, places in same.items()
                )
            )
        except StoreError as error:
            raise Unavailable("the counters cannot be reached", retry_after_seconds=1.0) from error
        for places, granted in zip(same.values(), taken, strict=True):
            answers |= zip(places, granted, strict=True)
        return [answers[index] for index in range(len(wishes))]

    async def _take(self, counter: _Counter, counts: Sequence[int], minute: datetime) -> list[RateTaken]:
        wanted = sum(counts)
        name = f"{counter.key}{_SEPARATOR}{counter.group}"
        before = await self._counters.take(name, minute, wanted, counter.per_minute)
        crash.point("quota.rate_taken")
        granted = max(0, min(wanted, counter.per_minute - before))
        remaining = max(0, counter.per_minute - before - granted)
        metrics.rate_calls.labels(metrics.GRANTED).inc(granted)
        metrics.rate_calls.labels(metrics.REFUSED).inc(wanted - granted)
        return [
            RateTaken(granted=share, remaining=remaining, resets_at=minute + _MINUTE)
            for share in shares(granted, counts)
        ]


class RateDesk:
    """Answers gateways that lease calls."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    async def on_take(self, message: TakeRate) -> RateTaken:
        """Take calls of the minute that holds now."""
        if not (0 <= message.count <= _MOST_CALLS and 0 <= message.per_minute <= _MOST_CALLS):
            raise Invalid(f"calls are 0 to {_MOST_CALLS}: {message.count} of {message.per_minute} a minute", "count")
        return await self._counted.submit(message)
