"""Ending in order: a tick that was told to end does end, even if what it awaited hid that from it.

On Python 3.11 `asyncio.wait_for`, which is in every request over NATS, drops a cancellation that arrives together with
the answer. A tick would then go round for ever, and the service would never stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Handler = Callable[[], Awaitable[None]]


def ending(handler: Handler) -> Handler:
    """Return the handler, raising `CancelledError` after it if its task was canceled meanwhile."""

    async def run() -> None:
        await handler()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    return run
