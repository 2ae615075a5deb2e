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

    `commit` returns one result an item, in order; an exception goes to every caller of the batch. A batch has at most
    `max_items` items, and no more than it has room for: `share` says which part of that an item takes. At most `lanes`
    batches are under way at once. Beside them goes what makes at most `aside` items under way: a few do not wait for
    each other, many go together.
    """

    def __init__(
        self,
        commit: Callable[[list[Item]], Awaitable[list[Result]]],
        *,
        max_items: int = 256,
        lanes: int = 1,
        aside: int = 0,
        share: Callable[[Item], float] | None = None,
    ) -> None:
        self._commit = commit
        self._max_items = max_items
        self._lanes = lanes
        self._aside = aside
        self._share = share or (lambda _item: 0.0)
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._batches = 0
        self._under_way = 0
        self._is_gathering = False
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

    async def submit(self, item: Item, within_seconds: float = 0.0, company: int | None = None) -> Result:
        """Return the result of `item` once its batch is committed. A canceled caller does not take its item back.

        The batch is begun `within_seconds`: at once, or as soon as it has `company`, is full, or an item cannot wait.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        has_company = len(self._waiting) >= (company or self._max_items)
        due = loop.time() + (0.0 if has_company else within_seconds)
        if due < self._due:
            self._due = due
            self._hurry.set()
        self._begin()
        return await future

    def _begin(self) -> None:
        """Have the next batch gathered, if there may be another one and nobody gathers it yet."""
        if self._waiting and not self._is_gathering and self._may_begin():
            self._is_gathering = True
            self._tasks.create_task(self._one_batch())

    def _may_begin(self) -> bool:
        return self._batches < self._lanes or self._under_way + len(self._waiting) <= self._aside

    async def _one_batch(self) -> None:
        await self._gather()
        batch = self._take()
        self._is_gathering = False
        self._batches += 1
        self._under_way += len(batch)
        self._begin()
        try:
            await self._commit_one(batch)
        finally:
            self._batches -= 1
            self._under_way -= len(batch)
        self._begin()

    async def _gather(self) -> None:
        """Return once a batch is due."""
        time = asyncio.get_running_loop().time
        while len(self._waiting) < self._max_items and self._due > time():
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await self._hurry.wait()

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [self._waiting.popleft()]
        taken = self._share(batch[0][0])
        while self._waiting and len(batch) < self._max_items:
            taken += self._share(self._waiting[0][0])
            if taken > 1.0:
                break
            batch.append(self._waiting.popleft())
        if not self._waiting:
            self._due = math.inf
        return batch

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
