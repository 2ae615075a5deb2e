"""What an order carries by reference, fetched before the engine is asked."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.work import WorkOrder
from gridloom_worker import rules

_PATIENCE_SECONDS = 60.0
"""So long a task that cannot be fetched is tried for again; then another worker may have more luck."""

_task = msgspec.json.Decoder(Task)


class Store(Protocol):
    """Where objects are read."""

    async def get(self, url: str, most_bytes: int, within_seconds: float) -> bytes:
        """Return an object. Raises `FaultError`."""
        ...


class Inputs:
    """Completes orders. A task may have `most_bytes`."""

    def __init__(self, store: Store, most_bytes: int) -> None:
        self._store = store
        self._most_bytes = most_bytes

    async def complete(self, order: WorkOrder) -> WorkOrder:
        """Return the order with its whole task. Raises `FaultError`, which another worker may not meet."""
        if order.task_url is None:
            return order
        content = await self._fetched(order.task_url)
        try:
            return msgspec.structs.replace(order, task=_task.decode(content), task_url=None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = "what lies where the task should be is no task"
            raise FaultError(Fault(code=FaultCode.INTERNAL, message=message, retryable=True)) from None

    async def _fetched(self, url: str) -> bytes:
        now = asyncio.get_running_loop().time
        due, pauses = now() + _PATIENCE_SECONDS, rules.pauses()
        while True:
            try:
                return await self._store.get(url, self._most_bytes, max(1.0, due - now()))
            except FaultError as error:
                if error.fault.code is FaultCode.TOO_LARGE:
                    raise
                if error.fault.code is not FaultCode.UNAVAILABLE or now() >= due:
                    raise _not_fetched(error.fault) from None
            await asyncio.sleep(next(pauses))


def _not_fetched(why: Fault) -> FaultError:
    message = f"the worker could not fetch the task: {why.message}"
    return FaultError(Fault(code=FaultCode.UNAVAILABLE, message=message, retryable=True))
