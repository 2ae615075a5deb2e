"""Compares the ledger with the jobs, so that an ending is counted even if its fact was lost with a wiped stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import msgspec

from gridloom_contract.events import JobFinished
from gridloom_contract.fault import FaultError
from gridloom_contract.usage import Ending, EndingPage
from gridloom_kit.clock import Clock
from gridloom_kit.crash import point
from gridloom_kit.log import get_logger
from gridloom_usage import metrics
from gridloom_usage.rules.batches import bare
from gridloom_usage.rules.catching_up import Mark, mark_of, settled
from gridloom_usage.rules.lines import EndingKey, key_of, unusable
from gridloom_usage.store.errors import StoreError

log = get_logger()

_RETRY_SECONDS = 5.0


class Pages(Protocol):
    """The jobs."""

    async def in_order_of_time(self, mark: Mark) -> EndingPage:
        """Return the jobs whose last ending comes after `mark`."""
        ...


class Watermarks(Protocol):
    """How far the comparison got."""

    async def get(self) -> Mark:
        """Return the last ending that was compared."""
        ...

    async def advance(self, mark: Mark) -> None:
        """Never compare again up to `mark`."""
        ...


class Ledger(Protocol):
    """The lines."""

    async def endings_of(self, jobs: Collection[str]) -> set[EndingKey]:
        """Return which endings of these jobs are in the ledger."""
        ...


class CatchingUp:
    """Goes through all endings in the order of time, and records those that nobody told."""

    def __init__(
        self,
        pages: Pages,
        ledger: Ledger,
        marks: Watermarks,
        clock: Clock,
        record: Callable[[JobFinished], Awaitable[None]],
    ) -> None:
        self._pages = pages
        self._ledger = ledger
        self._marks = marks
        self._clock = clock
        self._record = record

    async def catch_up(self, settle_seconds: float) -> None:
        """Compare all endings since the last time that are at least `settle_seconds` old."""
        mark, is_behind = await self._marks.get(), True
        while is_behind:
            page = await self._pages.in_order_of_time(mark)
            old = settled(page.endings, page.at or self._clock.now(), settle_seconds)
            await self._record_missing(old)
            point("usage.caught_up")
            is_behind = bool(old) and len(old) == len(page.endings)
            if old:
                mark = mark_of(old[-1])
                await self._marks.advance(mark)

    async def _record_missing(self, endings: Sequence[Ending]) -> None:
        known = await self._ledger.endings_of([ending.job for ending in endings]) if endings else set()
        missing = [fact for ending in endings for fact in ending.facts if key_of(fact) not in known]
        usable = [bare(fact) for fact in missing if unusable(fact) is None]
        if missing:
            log.warning("usage.facts_were_missing", count=len(missing), unusable=len(missing) - len(usable))
        await asyncio.gather(*(self._record(fact) for fact in usable))
        metrics.facts_caught_up.inc(len(usable))


class Rounds:
    """Catches up when the service starts and again and again, sooner if it could not."""

    def __init__(self, catching_up: CatchingUp, every_seconds: float, settle_seconds: float) -> None:
        self._catching_up = catching_up
        self._every_seconds = every_seconds
        self._settle_seconds = settle_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Catch up until `stop` is set."""
        while not stop.is_set():
            pause = self._every_seconds if await self._is_done() else min(_RETRY_SECONDS, self._every_seconds)
            try:
                async with asyncio.timeout(pause):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _is_done(self) -> bool:
        try:
            await self._catching_up.catch_up(self._settle_seconds)
        except (FaultError, StoreError, msgspec.DecodeError) as error:
            log.warning("usage.catching_up_failed", err=str(error))
            return False
        return True
