"""Sweeps: what time alone brings about, looked for each second by one replica, and only through indexes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_domain.job import Reason
from gridloom_kit.log import get_logger
from gridloom_kit.outbox import Mark, Stream
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.outbox import fact_message
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import holds, transitions
from gridloom_scheduler.rules.changes import Change

log = get_logger()

_AT_ONCE = 500
_UNPUBLISHED_SECONDS = 6.0
"""Longer than the outbox takes to note what arrived: only what was lost is published again."""


class Due(Protocol):
    """Jobs for which it is time."""

    async def timed_out(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return jobs in hand whose time from the claim is over."""
        ...

    async def expired(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return living jobs whose deadline is over."""
        ...

    async def unstarted(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return jobs that no worker has started for as long as they may wait."""
        ...

    async def holds_over(self, now: datetime, limit: int) -> list[JobRecord]:
        """Return held jobs whose waiting time is over."""
        ...


class Unpublished(Protocol):
    """Jobs with facts that may be missing on the bus."""

    async def unpublished(self, since: datetime, limit: int) -> list[JobRecord]:
        """Return some of them, with their facts."""
        ...

    async def mark_published(self, marks: Iterable[Mark]) -> None:
        """Note what is on the bus now."""
        ...


class Sweeps:
    """Timeouts, deadlines, waits and the end of holds. `is_mine` says whether this replica is the one that sweeps."""

    def __init__(self, jobs: Due, ledger: Ledger, recall: Recall, chance: Chance, is_mine: Callable[[], bool]) -> None:
        self._jobs = jobs
        self._ledger = ledger
        self._recall = recall
        self._chance = chance
        self._is_mine = is_mine

    async def sweep(self) -> None:
        """Do all that is due."""
        if self._is_mine():
            await self._sweep(self._jobs.timed_out, self._time_out)
            await self._sweep(self._jobs.expired, self._expire)
            await self._sweep(self._jobs.unstarted, self._give_up)
            await self._sweep(self._jobs.holds_over, self._release)

    async def _sweep(
        self, look: Callable[[datetime, int], Awaitable[list[JobRecord]]], change: Callable[[JobRecord], Change]
    ) -> None:
        jobs = await look(self._chance.clock.now(), _AT_ONCE)
        changes = [change(job) for job in jobs]
        won = await self._ledger.commit(changes)
        ended = [change for change, is_won in zip(changes, won, strict=True) if is_won and change.frees_worker]
        if ended:  # all for the same reason
            await self._recall.stop([change.before for change in ended], str(ended[0].after.reason))

    def _time_out(self, job: JobRecord) -> Change:
        return transitions.canceled(job, Reason.TIMEOUT, self._chance.moment())

    def _expire(self, job: JobRecord) -> Change:
        return transitions.canceled(job, Reason.DEADLINE, self._chance.moment())

    def _give_up(self, job: JobRecord) -> Change:
        return transitions.no_capacity(job, self._chance.moment())

    def _release(self, job: JobRecord) -> Change:
        return holds.released(job, self._chance.moment())


class Republisher:
    """Publishes facts that a crash or an outage kept from the bus. Consumers know them by `(job, seq)`."""

    def __init__(self, jobs: Unpublished, stream: Stream, chance: Chance, is_mine: Callable[[], bool]) -> None:
        self._jobs = jobs
        self._stream = stream
        self._chance = chance
        self._is_mine = is_mine

    async def republish(self) -> None:
        """Publish what has been missing for longer than it takes to note that it arrived."""
        if not self._is_mine():
            return
        jobs = await self._jobs.unpublished(
            self._chance.clock.now() - timedelta(seconds=_UNPUBLISHED_SECONDS), _AT_ONCE
        )
        if not jobs:
            return
        missing = [fact_message(fact) for job in jobs for fact in job.events if fact.seq > job.published]
        stored = await self._stream.publish_many([fact.outgoing for fact in missing])
        lost = {fact.key for fact, is_stored in zip(missing, stored, strict=True) if not is_stored}
        await self._jobs.mark_published(Mark(job.id, job.published, job.seq) for job in jobs if job.id not in lost)
        log.info("outbox.swept", jobs=len(jobs), facts=len(missing), stored=stored.count(True))
