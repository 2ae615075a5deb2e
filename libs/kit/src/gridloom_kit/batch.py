"""Group commit:

what gathers while one write is under way goes into the next, so load makes batches and idleness adds no delay. What
nobody waits for may be told to wait for company, so that a trickle makes batches, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Hands items to `commit` in batches and each caller its own result.

    `commit` returns one result an item, in order; an exception goes to every caller of the batch. At most `lanes`
    batches are under way at once, each of at most `max_items` items and `max_weight` in the sum of `weigh`.
    """

    def __init__(
        self,
        commit: Callable[[list[Item]], Awaitable[list[Result]]],
        *,
        max_items: int = 256,
        lanes: int = 1,
        weigh: Callable[[Item], int] | None = None,
        max_weight: int = 0,
    ) -> None:
        self._commit = commit
        self._max_items = max_items
        self._lanes = lanes
        self._weigh = weigh
        self._max_weight = max_weight
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._active = 0
        self._due = math.inf
        self._hurry = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> GroupCommit[Item, Result]:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    async def submit(self, item: Item, within_seconds: float = 0.0) -> Result:
        """Return the result of `item` once its batch is committed. A canceled caller does not take its item back.

        The batch is begun `within_seconds`: at once, or as soon as it is full or another item cannot wait.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        due = loop.time() + within_seconds
        if due < self._due:
            self._due = due
            self._hurry.set()
        if len(self._waiting) >= self._max_items:
            self._hurry.set()
        if self._active < self._lanes:
            self._active += 1
            self._tasks.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._company()
                if self._waiting:  # unless another lane took it
                    await self._commit_one(self._take())
        finally:
            self._active -= 1

    async def _company(self) -> None:
        """Return once a batch is due or full."""
        time = asyncio.get_running_loop().time
        while self._waiting and len(self._waiting) < self._max_items and self._due > time():
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await self._hurry.wait()

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [self._waiting.popleft()]
        weight = self._weight(batch[0][0])
        while self._waiting and len(batch) < self._max_items:
            weight += self._weight(self._waiting[0][0])
            if self._max_weight and weight > self._max_weight:
                break
            batch.append(self._waiting.popleft())
        if not self._waiting:
            self._due = math.inf
        return batch

    def _weight(self, item: Item) -> int:
        return self._weigh(item) if self._weigh else 0

    async def _commit_one(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._commit([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
