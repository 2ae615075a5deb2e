"""The thaw: lets jobs go that are held for their account's quota, when there may be room for them again.

There may be room when the quota service says so, when the time of the holds is over, and, since the one replica that
does this may have died over it, when another one takes that over. None of it needs the quota service to be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from gridloom_contract.quota import QuotaReleased
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.quotas import Quotas
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import holds
from gridloom_scheduler.rules.thawing import Thaw, heard, is_ready, judged, went_on

log = get_logger()

_STEP_SECONDS = 0.25
_AT_ONCE = 16


class Holds(Protocol):
    """The jobs that are held for their account's quota."""

    async def earliest(self) -> dict[str, datetime]:
        """Return every account that has some, with the earliest time at which one may go."""
        ...

    async def next_held(self, account: str, limit: int) -> list[JobRecord]:
        """Return those of an account that should go first."""
        ...

    async def waiting_among(self, jobs: Collection[str]) -> dict[str, bool]:
        """Return those of the jobs that wait, and whether it is for their account's quota."""
        ...


class Thawing:
    """Lets jobs go. `is_mine` says whether this replica is the one that does."""

    def __init__(self, holds: Holds, quotas: Quotas, ledger: Ledger, pace: Pace, is_mine: Callable[[], bool]) -> None:
        self._holds = holds
        self._quotas = quotas
        self._ledger = ledger
        self._pace = pace
        self._is_mine = is_mine
        self._was_mine = False
        self._thaws: dict[str, Thaw] = {}
        self._news = asyncio.Event()
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def on_released(self, message: QuotaReleased) -> None:
        """There is room for these accounts again."""
        self._quotas.budgets.released(message.accounts)
        for account in message.accounts:
            self._thaws[account] = heard(self._thaws.get(account))
        self._news.set()

    async def look(self) -> None:
        """Find accounts whose holds are over, and all that have any when this has just become this replica's task."""
        is_mine, was_mine = self._is_mine(), self._was_mine
        self._was_mine = is_mine
        if not is_mine:
            self._thaws.clear()
            return
        before = dict(self._thaws)
        now, held = self._pace.moment().at, await self._holds.earliest()
        over = {account for account, until in held.items() if until <= now or not was_mine}
        self._thaws = {
            account: thaw
            for account, thaw in self._thaws.items()
            if account in over
            or (account in held and (thaw.is_due or thaw.probes))
            or thaw is not before.get(account)  # there is news of it since that was read
        }
        self._thaws |= {account: replace(self._thaws.get(account, Thaw()), is_due=True) for account in over}
        if over:
            self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Let jobs go, step by step, for as long as there is anybody to thaw, until told to stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stop.wait()).add_done_callback(lambda _: self._news.set())
            while not stop.is_set():
                await self._news.wait()
                self._news.clear()
                await self._step()
                if self._thaws:
                    await asyncio.sleep(_STEP_SECONDS)
                    self._news.set()

    async def _step(self) -> None:
        if not self._is_mine():
            return  # kept all the same: this may become ours again before anybody notices that it was not
        now = self._pace.monotonic()
        ready = [account for account, thaw in self._thaws.items() if is_ready(thaw, now)]
        try:
            await asyncio.gather(*(self._go_on(account, now) for account in ready))
        except DatabaseError as error:
            log.warning("holds.not_released", accounts=len(ready), err=str(error))

    async def _go_on(self, account: str, now: float) -> None:
        async with self._places:
            before = self._thaws.get(account)
            if before is None:
                return
            after = await self._let_go(account, await self._judge(before, now), now)
        if self._thaws.get(account) is not before:
            return  # there is news of it meanwhile
        if after is None:
            del self._thaws[account]
        else:
            self._thaws[account] = after

    async def _judge(self, thaw: Thaw, now: float) -> Thaw:
        if not thaw.probes:
            return thaw
        waiting = await self._holds.waiting_among(thaw.probes)
        held_again = sum(waiting.values())
        return judged(thaw, held_again, len(waiting) - held_again, now)

    async def _let_go(self, account: str, thaw: Thaw, now: float) -> Thaw | None:
        """Let the next jobs go if it is time. Returns the thaw as it is then; None if nobody is left."""
        if thaw.probes or not is_ready(thaw, now):
            return thaw
        jobs = await self._holds.next_held(account, thaw.size)
        if not jobs:
            return None
        fair = await self._pace.resume(jobs)
        await self._ledger.commit(
            [holds.thawed(job, fair[job.id], self._pace.moment()) for job in jobs],
        )
        log.info("quota.thawed", account=account, jobs=len(jobs))
        return went_on(thaw, tuple(job.id for job in jobs), now)
