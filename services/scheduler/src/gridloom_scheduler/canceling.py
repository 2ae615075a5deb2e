"""Canceling batches: every job of one that lives is ended, whatever happens to it meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

from gridloom_contract.jobs import Submission
from gridloom_domain.job import Reason
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change

_AT_LEAST = 500
_IN_A_WRITE = 250
"""One such write after another leaves room for whoever comes meanwhile: larger ones, or several at once, are hardly
faster, and chats wait twice as long."""
_LONGEST_SECONDS = 2.0
"""Who asks waits five."""


class Living(Protocol):
    """Where living jobs are found."""

    def living_jobs_of(self, batch: str, at_once: int) -> AsyncGenerator[list[JobRecord], None]:
        """Yield the jobs of a batch that have not ended, so many at a time."""
        ...

    async def canceled_of(self, batches: Collection[str]) -> list[str]:
        """Return those of the batches that are canceled."""
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

    async def cancel(self, batch: str, seconds: float = 0.0) -> None:
        """Cancel some hundreds of a batch's living jobs, and further ones for so long. Of fewer none is left.

        A job that changes meanwhile is looked at again.
        """
        until = self._chance.clock.monotonic() + min(seconds, _LONGEST_SECONDS)
        while await self._cancel_found(batch, until):
            pass

    async def cancel_late(self, jobs: Iterable[Submission]) -> None:
        """Cancel those of new jobs that came to a batch after it was canceled. Costs nothing for jobs without one.

        A cancellation that is noted after this has looked finds them.
        """
        batches = {job.parent for job in jobs if job.parent is not None}
        for batch in await self._living.canceled_of(batches) if batches else ():
            await self.cancel(batch)

    async def _cancel_found(self, batch: str, until: float) -> bool:
        """Cancel what is found. Returns whether to look again."""
        seen = 0
        async with aclosing(self._living.living_jobs_of(batch, _IN_A_WRITE)) as found:
            async for jobs in found:
                await self._end(jobs)
                seen += len(jobs)
                if seen >= _AT_LEAST and self._chance.clock.monotonic() >= until:
                    return False
        return seen > 0

    async def _end(self, jobs: Sequence[JobRecord]) -> None:
        changes = [transitions.canceled(job, Reason.USER, self._chance.moment()) for job in jobs]
        won = await self._ledger.commit(changes)
        stopped = [change.before for change, is_won in zip(changes, won, strict=True) if is_won and change.frees_worker]
        await self._recall.stop(stopped, str(Reason.USER))
