"""The way of a large output to the object store: a slot from the scheduler, then the bytes, until they are there."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gridloom_contract import registry, subjects
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.work import AskUpload, ResultReport, UploadSlot
from gridloom_kit.bus import Bus
from gridloom_kit.log import get_logger
from gridloom_kit.transfer import Content
from gridloom_worker import rules

log = get_logger()

_ASK_SECONDS = 10.0
_TRY_SECONDS = 600.0
"""A slow line has so long for one try; the URL must have been used within a quarter of an hour."""
_SLOT_SECONDS = 60.0
"""So long a slot is tried again. Asking for another one also tells whether the job is still ours."""
_FINAL = frozenset({FaultCode.CONFLICT, FaultCode.TOO_LARGE, FaultCode.INVALID, FaultCode.NOT_FOUND})


class Slots(Protocol):
    """Who has room for an output."""

    async def ask(self, question: AskUpload) -> UploadSlot:
        """Return a slot. Raises `FaultError`."""
        ...


class Store(Protocol):
    """Where it goes."""

    async def put(self, url: str, content: Content, within_seconds: float) -> None:
        """Store it. Raises `FaultError`."""
        ...


class BusSlots:
    """The scheduler, over the worker's own connection."""

    def __init__(self, bus: Bus, worker: str) -> None:
        self._bus = bus
        self._subject = subjects.worker_upload(worker)

    async def ask(self, question: AskUpload) -> UploadSlot:
        """Ask on this worker's own subject."""
        slot: UploadSlot = await self._bus.request(
            registry.UPLOAD, question, subject=self._subject, timeout_seconds=_ASK_SECONDS
        )
        return slot


class Uploads:
    """Stores outputs."""

    def __init__(self, slots: Slots, store: Store) -> None:
        self._slots = slots
        self._store = store

    async def upload(self, result: ResultReport, content: Content) -> str:
        """Return the ref of the output once it is stored, however long that takes.

        Raises `FaultError` if it never will be: `conflict` says that the lease is over.
        """
        pauses = rules.pauses()
        while True:
            slot = await self._slot(result, content.size_bytes)
            if await self._stored(slot, content):
                return slot.ref
            await asyncio.sleep(next(pauses))

    async def _slot(self, result: ResultReport, size_bytes: int) -> UploadSlot:
        question = AskUpload(job=result.job, attempt=result.attempt, token=result.token, size_bytes=size_bytes)
        pauses = rules.pauses()
        while True:
            try:
                return await self._slots.ask(question)
            except FaultError as error:
                if error.fault.code in _FINAL:
                    raise
                log.warning("upload.no_slot", job=result.job, code=str(error.fault.code), err=error.fault.message)
            await asyncio.sleep(next(pauses))

    async def _stored(self, slot: UploadSlot, content: Content) -> bool:
        """Use the slot for as long as it is good. False: another one is needed."""
        now = asyncio.get_running_loop().time
        due, pauses = now() + _SLOT_SECONDS, rules.pauses()
        while now() < due:
            try:
                await self._store.put(slot.url, content, _TRY_SECONDS)
                return True
            except FaultError as error:
                log.warning("upload.failed", code=str(error.fault.code), err=error.fault.message)
                if error.fault.code is not FaultCode.UNAVAILABLE:
                    return False
            await asyncio.sleep(next(pauses))
        return False
