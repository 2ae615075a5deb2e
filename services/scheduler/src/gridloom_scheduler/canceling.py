"""Canceling batches: every job of one that lives is ended, whatever happens to it meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from gridloom_domain.job import Reason
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change

_AT_ONCE = 500


class Living(Protocol):
    """Where living jobs are found."""

    def living_jobs_of(self, batch: str, at_once: int) -> AsyncGenerator[list[JobRecord], None]:
        """Yield the jobs of a batch that have not ended, so many at a time."""
        ...


class Ledger(Protocol):
    """Where changes are stored."""

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Store the changes and follow up on those that won. Returns which did."""
        ...


class Canceling:
    """Ends the jobs of batches."""

    def __init__(self, living: Living, ledger: Ledger, recall: Recall, chance: Chance) -> None:
        self._living = living
        self._ledger = ledger
        self._recall = recall
        self._chance = chance

    async def cancel(self, batch: str) -> None:
        """Cancel some hundreds of a batch's living jobs. Of fewer none is left: one that changes is looked at again."""
        while await self._cancel_found(batch):
            pass

    async def _cancel_found(self, batch: str) -> bool:
        """Cancel what is found. Returns whether to look again."""
        is_found = False
        async with aclosing(self._living.living_jobs_of(batch, _AT_ONCE)) as found:
            async for jobs in found:
                is_found = True
                await self._end(jobs)
                if len(jobs) == _AT_ONCE:
                    return False
        return is_found

    async def _end(self, jobs: Sequence[JobRecord]) -> None:
        changes = [transitions.canceled(job, Reason.USER, self._chance.moment()) for job in jobs]
        won = await self._ledger.commit(changes)
        stopped = [change.before for change, is_won in zip(changes, won, strict=True) if is_won and change.frees_worker]
        await self._recall.stop(stopped, str(Reason.USER))
