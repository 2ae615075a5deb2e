"""Fair time for new jobs: what this replica does not remember of a queue or an account is asked of MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from gridloom_scheduler.chance import Chance
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Moment
from gridloom_scheduler.rules.fairness import Queue
from gridloom_scheduler.rules.submission import queue_of


class Heads(Protocol):
    """The waiting jobs, as far as fair time depends on them."""

    async def smallest_fair(self, queue: Queue) -> float | None:
        """Return the fair time at the head of a queue."""
        ...

    async def last_of_account(self, account: str, queue: Queue) -> tuple[float, float] | None:
        """Return fair time and cost of the account's last waiting job in a queue."""
        ...


class Pace:
    """Places jobs in fair time. `may_wait` says whether jobs may wait on a route; where none do nothing is asked."""

    def __init__(self, heads: Heads, chance: Chance, may_wait: Callable[[str], bool]) -> None:
        self._heads = heads
        self._chance = chance
        self._may_wait = may_wait

    async def place(self, jobs: Sequence[JobRecord]) -> list[JobRecord]:
        """Return the jobs with their fair times, in the order in which they were handed in."""
        await self._recall({(job.account, queue_of(job)) for job in jobs})
        fair = self._chance.fair
        return [msgspec.structs.replace(job, fair=fair.tag(job.account, queue_of(job), job.cost)) for job in jobs]

    async def place_again(self, job: JobRecord, priority: int) -> float:
        """Return the fair time of a job that comes (back) into a queue at this priority."""
        queue = Queue(job.route, priority)
        await self._recall({(job.account, queue)})
        return self._chance.fair.tag(job.account, queue, job.cost)

    async def resume(self, jobs: Sequence[JobRecord]) -> dict[str, float]:
        """Return the fair times, by job, of jobs of one account that come back into their queues in this order.

        Each stands where it stood, but not before what waits by now: they were not there to be overtaken.
        """
        await asyncio.gather(*(self._recall_head(queue, self.monotonic()) for queue in {queue_of(job) for job in jobs}))
        start: dict[Queue, float] = {}
        fair: dict[str, float] = {}
        for job in jobs:
            queue = queue_of(job)
            since = start.setdefault(queue, self._chance.fair.virtual(queue))
            fair[job.id] = max(job.fair, since)
            start[queue] = since + job.cost
        return fair

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._chance.clock.monotonic()

    def moment(self) -> Moment:
        """Return now, with a new id for the change that happens now."""
        return self._chance.moment()

    async def _recall(self, flows: Collection[tuple[str, Queue]]) -> None:
        at = self._chance.clock.monotonic()
        queues = {queue for _, queue in flows}
        await asyncio.gather(
            *(self._recall_head(queue, at) for queue in queues if self._must_look(queue, at)),
            *(self._recall_account(*flow) for flow in flows if not self._chance.fair.knows(*flow)),
        )

    def _must_look(self, queue: Queue, at: float) -> bool:
        fair = self._chance.fair
        return fair.must_look(queue, at) and (self._may_wait(queue.route) or not fair.has_seen(queue))

    async def _recall_head(self, queue: Queue, at: float) -> None:
        self._chance.fair.saw_head(queue, await self._heads.smallest_fair(queue), at)

    async def _recall_account(self, account: str, queue: Queue) -> None:
        last = await self._heads.last_of_account(account, queue)
        self._chance.fair.saw_account(account, queue, None if last is None else sum(last))
