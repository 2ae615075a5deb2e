"""Records when keys were last used: at most once a minute a key, many keys in one write, and once more at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

_EVERY_SECONDS = 60.0


class KeyUse:
    """`take()` returns the keys used since the last time; `note(kids, at)` records them."""

    def __init__(
        self, take: Callable[[], list[str]], note: Callable[[Sequence[str], datetime], Awaitable[None]], clock: Clock
    ) -> None:
        self._take = take
        self._note = note
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop`. What cannot be recorded is lost: it is for people to look at."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(_EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass
            await self._record()

    async def _record(self) -> None:
        used = self._take()
        if not used:
            return
        try:
            await self._note(used, self._clock.now())
        except Exception:
            log.exception("key_use.not_recorded", keys=len(used))
