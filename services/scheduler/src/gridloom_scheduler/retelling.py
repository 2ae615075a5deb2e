"""Tells the facts of jobs again after the EVENTS stream was lost: what its consumers had not read yet is in the jobs.

Consumers know facts by `(job, seq)`, so it harms nobody that most of them had been told before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gridloom_contract.streams import EVENTS
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_kit.outbox import Stream
from gridloom_scheduler.outbox import fact_message
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.retelling import Retelling, after_page, born_anew

log = get_logger()

RETELLING_SECONDS = 0.25
_AT_ONCE = 250
"""A thousand jobs a second: what is told anew must not wait behind what is told again."""


class Jobs(Protocol):
    """Jobs in the order in which they are told again."""

    async def find(self, stream: str) -> Retelling | None:
        """Return how far it got with a stream."""
        ...

    async def keep(self, told: Retelling) -> None:
        """Remember how far it got."""
        ...

    async def page_after(self, told: Retelling, limit: int) -> list[JobRecord]:
        """Return the next jobs with their facts."""
        ...


class Retold:
    """Tells a page at a time. `born` returns when EVENTS was made, `is_mine` whether this replica is the one to tell.

    How far it got is stored, so another replica, or another life of this one, goes on from there.
    """

    def __init__(
        self,
        jobs: Jobs,
        stream: Stream,
        clock: Clock,
        born: Callable[[str], str | None],
        is_mine: Callable[[], bool],
    ) -> None:
        self._jobs = jobs
        self._stream = stream
        self._clock = clock
        self._born = born
        self._is_mine = is_mine
        self._told: Retelling | None = None

    async def go_on(self) -> None:
        """Tell the next page, if there is anything to tell."""
        born = self._born(EVENTS)
        if born is None or not self._is_mine():
            self._told = None
            return
        if self._told is None or self._told.born != born:
            self._told = await self._recall(born)
        if not self._told.is_done:
            await self._tell(self._told)

    async def _recall(self, born: str) -> Retelling:
        """Return how far it got with this life of the stream."""
        known, now = await self._jobs.find(EVENTS), self._clock.now()
        if known is not None and known.born == born:
            return known
        told = born_anew(EVENTS, born, now)
        log.info("events.told_again", since=told.since.isoformat())
        await self._jobs.keep(told)
        return told

    async def _tell(self, told: Retelling) -> None:
        page = await self._jobs.page_after(told, _AT_ONCE)
        facts = [fact_message(fact).outgoing for job in page for fact in job.events]
        stored = await self._stream.publish_many(facts)
        if not all(stored):
            return  # the same page is told the next time
        self._told = after_page(told, page, self._clock.now())
        await self._jobs.keep(self._told)
        if self._told.is_done:
            log.info("events.all_told")
