"""How jobs ended, as their own documents say: asked from the scheduler, page by page."""

from __future__ import annotations

from gridloom_contract.registry import LIST_ENDINGS
from gridloom_contract.usage import EndingPage, ListEndings
from gridloom_kit.bus import Bus
from gridloom_usage.rules.catching_up import Mark

_PAGE = 500
_TIMEOUT_SECONDS = 15.0


class Endings:
    """The scheduler's answers. Raises `FaultError` (unavailable) while no scheduler answers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def in_order_of_jobs(self, after: str | None) -> EndingPage:
        """Return the jobs after `after` that ever ended; an empty page is the end."""
        return await self._ask(ListEndings(after=after, limit=_PAGE))

    async def in_order_of_time(self, mark: Mark) -> EndingPage:
        """Return the jobs whose last ending comes after `mark`; an empty page is the end."""
        return await self._ask(ListEndings(since=mark.ended_at, after=mark.job, limit=_PAGE))

    async def _ask(self, question: ListEndings) -> EndingPage:
        page: EndingPage = await self._bus.request(LIST_ENDINGS, question, timeout_seconds=_TIMEOUT_SECONDS)
        return page
