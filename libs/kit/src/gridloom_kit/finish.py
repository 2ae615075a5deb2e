"""The last write of finished work survives cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even if the caller is canceled meanwhile; the cancellation is then raised after it."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        canceled = await _outlast(task)
    if canceled:
        raise asyncio.CancelledError
    return task.result()


async def _outlast(task: asyncio.Task[T]) -> bool:
    canceled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            canceled = True
        except Exception:  # noqa: BLE001 - the task group raises it
            break
    return canceled
