"""Keeps an async context open for a fixture.

A fixture is set up and torn down in different tasks, but a task group must be left by the task that entered it. So
the context lives in a task of its own.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Holder:
    """Opens contexts with `open` and closes them in reverse order when it is left itself."""

    def __init__(self) -> None:
        self._held: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for leave, task in reversed(self._held):
            leave.set()
            await task

    async def open(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter `context` and return its value. Raises what entering raises."""
        leave = asyncio.Event()
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(_hold(context, entered, leave))
        both: list[asyncio.Future[Any]] = [task, entered]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not entered.done():
            await task
        self._held.append((leave, task))
        return entered.result()


async def _hold(context: AbstractAsyncContextManager[T], entered: asyncio.Future[T], leave: asyncio.Event) -> None:
    async with context as value:
        entered.set_result(value)
        await leave.wait()
