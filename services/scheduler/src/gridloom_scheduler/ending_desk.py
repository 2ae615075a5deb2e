"""Answers accounting: how jobs ended, page by page."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gridloom_contract.usage import Ending, EndingPage, ListEndings
from gridloom_domain.errors import Invalid
from gridloom_kit.clock import Clock
from gridloom_scheduler.rules.ended import page_of

_MOST_AT_ONCE = 1_000


class Endings(Protocol):
    """Jobs that ended."""

    async def in_order_of_jobs(self, after: str, limit: int) -> list[Ending]:
        """Return jobs that ever ended, by id."""
        ...

    async def in_order_of_time(self, since: datetime, after: str, limit: int) -> list[Ending]:
        """Return jobs that are ended now, by when they ended."""
        ...


class EndingDesk:
    """Tells how jobs ended. `most_bytes` is what the bus carries in one message."""

    def __init__(self, endings: Endings, clock: Clock, most_bytes: int) -> None:
        self._endings = endings
        self._clock = clock
        self._most_bytes = most_bytes

    async def on_list(self, question: ListEndings) -> EndingPage:
        """Return the next endings, as many as fit, and when they were read. Raises `Invalid`."""
        if question.limit < 1:
            raise Invalid(f"a page of {question.limit} endings is no page", "limit")
        limit, after = min(question.limit, _MOST_AT_ONCE), question.after or ""
        at = self._clock.now()
        if question.since is None:
            endings = await self._endings.in_order_of_jobs(after, limit)
        else:
            endings = await self._endings.in_order_of_time(question.since, after, limit)
        return page_of(endings, at, self._most_bytes)
