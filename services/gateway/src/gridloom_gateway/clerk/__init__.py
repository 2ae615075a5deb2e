"""The clerk: reads the files of batches, hands their lines in as jobs, and writes down how those ended.

Every gateway has one, and any of them takes any batch; what one leaves behind another goes on with.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_gateway.clerk.work import Tools, Work
from gridloom_kit.log import get_logger
from gridloom_kit.tasks import Tasks

log = get_logger()

_HANDS: Final = 3
"""So many batches are worked on at once: a large one must not keep small ones waiting."""
_IDLE_SECONDS: Final = 1.0


class Clerk:
    """Looks for work once a second, or when there is news, and does it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. What is under way then is left as it is: its lease ends soon."""
        async with Tasks(0.0) as tasks:
            for _ in range(_HANDS):
                tasks.create_task(self._work())
            await stop.wait()

    async def _work(self) -> None:
        while True:
            try:
                is_busy = await self._work_once()
            except FaultError as error:
                log.info("batch.left", code=str(error.fault.code), err=error.fault.message)
                is_busy = error.fault.code is FaultCode.CONFLICT
            except Exception:
                log.exception("batch.failed")
                is_busy = False
            if not is_busy:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._tools.batches.news.wait()

    async def _work_once(self) -> bool:
        self._tools.batches.news.clear()
        leased = await self._tools.batches.lease(self._tools.lease_seconds)
        if leased.batch is None:
            return False
        await Work(self._tools, leased.batch, leased.lease).go_on()
        return True
