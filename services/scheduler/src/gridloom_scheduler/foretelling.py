"""What workers report, stored: who waits on the line for a job is told how it ended before that is.

The worker has the result and reports it until it is stored, so nothing less than two crashes at once undoes what was
told. Since nobody waits for such a write any more, it waits for others: journaled one by one, the ends of chats cost as
much as all else about them, and stand in the way of the next ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

from gridloom_kit.batch import GroupCommit
from gridloom_scheduler import metrics
from gridloom_scheduler.post import Post
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.under_way import UnderWay

_PATIENCE_SECONDS: Final = 0.025
"""For so long the end of a job of which who waits was told may wait for others."""
_COMPANY: Final = 6
"""So many are stored together without waiting for more."""


class Reported(NamedTuple):
    """A change that a worker's report makes, and whether somebody was told of it already."""

    change: Change
    is_foretold: bool


class Slots(Protocol):
    """Who has which job in hand."""

    def land(self, job: JobRecord) -> object:
        """Free the slot of the job's worker."""
        ...


class Changes(Protocol):
    """Where changes are stored."""

    async def commit(self, changes: Sequence[Change], foretold: Collection[str] = ()) -> list[bool]:
        """Store the changes and follow up on those that won. Returns which did."""
        ...


class Foretelling:
    """Stores what workers report in company; `writing` stores with `store`."""

    def __init__(self, under_way: UnderWay, fleet: Slots, post: Post, writing: GroupCommit[Reported, bool]) -> None:
        self._under_way = under_way
        self._fleet = fleet
        self._post = post
        self._writing = writing

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Store the changes and follow up on those that won, after telling who can be told. Returns which did win."""
        foretold = await self._post.foretell(changes)
        reported = [Reported(change, change.before.id in foretold) for change in changes]
        for change, is_foretold in reported:
            if is_foretold:
                self._fleet.land(change.before)  # for their next one, which may be here before the write is done
        with self._under_way.writing(foretold):
            won = await asyncio.gather(*map(self._stored, reported))
        vain = sum(one.is_foretold and not is_won for one, is_won in zip(reported, won, strict=True))
        metrics.ends_foretold_in_vain.inc(vain)
        return won

    async def _stored(self, reported: Reported) -> bool:
        patience_seconds = _PATIENCE_SECONDS if reported.is_foretold else 0.0
        return await self._writing.submit(reported, patience_seconds, _COMPANY)


async def store(changes: Changes, reported: Sequence[Reported]) -> list[bool]:
    """Store what was reported, in one write; the commit of a `GroupCommit`."""
    foretold = {one.change.before.id for one in reported if one.is_foretold}
    return await changes.commit([one.change for one in reported], foretold)
