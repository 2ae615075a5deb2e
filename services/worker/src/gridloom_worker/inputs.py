"""What an order carries by reference, fetched before the engine is asked."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.work import Attachment, WorkOrder
from gridloom_domain.errors import UnsupportedMedia
from gridloom_domain.images import SNIFFED_BYTES, image_type
from gridloom_worker import rules
from gridloom_worker.images import Image, with_images

_PATIENCE_SECONDS = 60.0
"""So long what cannot be fetched is tried for again; then another worker may have more luck."""

_IMAGE = "image"
_task = msgspec.json.Decoder(Task)


class Store(Protocol):
    """Where objects are read."""

    async def get(self, url: str, most_bytes: int, within_seconds: float) -> bytes:
        """Return an object. Raises `FaultError`."""
        ...


class Inputs:
    """Completes orders. A task may have `most_bytes`, and so may all its files together."""

    def __init__(self, store: Store, most_bytes: int) -> None:
        self._store = store
        self._most_bytes = most_bytes

    async def complete(self, order: WorkOrder) -> WorkOrder:
        """Return the order with its whole task, its files in it. Raises `FaultError`.

        What another worker might not meet is retryable. A file of a kind that no engine takes ends the job.
        """
        if order.task_url is None and not order.attachments:
            return order
        task = order.task if order.task_url is None else await self._task_at(order.task_url)
        if order.attachments:
            task = with_images(task, await self._images(order.attachments))
        return msgspec.structs.replace(order, task=task, task_url=None, attachments=())

    async def _task_at(self, url: str) -> Task:
        content = await self._fetched("the task", url, self._most_bytes)
        try:
            return _task.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _not_as_announced("what lies where the task should be is no task") from None

    async def _images(self, attachments: tuple[Attachment, ...]) -> list[Image]:
        images: list[Image] = []
        left_bytes = self._most_bytes
        for attachment in attachments:
            if attachment.kind != _IMAGE:
                raise UnsupportedMedia(f"no engine here takes files of type {attachment.content_type[:64]}")
            content = await self._fetched("a file of the job", attachment.url, left_bytes)
            if image_type(content[:SNIFFED_BYTES]) != attachment.content_type:
                raise _not_as_announced(f"a file of the job is not {attachment.content_type[:64]}, as announced")
            left_bytes -= len(content)
            images.append(Image(attachment.content_type, content))
        return images

    async def _fetched(self, what: str, url: str, most_bytes: int) -> bytes:
        now = asyncio.get_running_loop().time
        due, pauses = now() + _PATIENCE_SECONDS, rules.pauses()
        while True:
            try:
                return await self._store.get(url, most_bytes, max(1.0, due - now()))
            except FaultError as error:
                if error.fault.code is FaultCode.TOO_LARGE:
                    raise
                if error.fault.code is not FaultCode.UNAVAILABLE or now() >= due:
                    raise _not_fetched(what, error.fault) from None
            await asyncio.sleep(next(pauses))


def _not_fetched(what: str, why: Fault) -> FaultError:
    message = f"the worker could not fetch {what}: {why.message}"
    return FaultError(Fault(code=FaultCode.UNAVAILABLE, message=message, retryable=True))


def _not_as_announced(message: str) -> FaultError:
    return FaultError(Fault(code=FaultCode.INTERNAL, message=message, retryable=True))
