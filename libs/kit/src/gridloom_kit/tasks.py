"""A parent for tasks that ends in time: what is in hand may finish within the grace, the rest is canceled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from gridloom_kit.log import get_logger

log = get_logger()
T = TypeVar("T")


class Tasks:
    """Like `asyncio.TaskGroup`, but leaving it takes at most `grace_seconds`, and one task's error does not end the
    others.

    An error is logged: whoever needs to know of it awaits the task.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[Any]] = set()

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T | None]:
        """Run `work` beside the others."""
        task = self._group.create_task(_logged(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def __aenter__(self) -> Tasks:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._running:
            await asyncio.wait(self._running, timeout=self._grace_seconds)
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(kind, error, traceback)


async def _logged(work: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await work
    except Exception:
        log.exception("task.failed")
        return None
