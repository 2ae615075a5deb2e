"""Accounts' files as the gateway has to do with them: the blob service keeps them, bytes go by presigned URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.files import CreateFile, DeleteFile, FileEntry, FilePage, FileSlot, GetFile, ListFiles
from gridloom_contract.registry import CREATE_FILE, DELETE_FILE, GET_FILE, LIST_FILES
from gridloom_domain.errors import NotFound, TooLarge, Unavailable
from gridloom_kit.bus import Bus
from gridloom_kit.transfer import Transfer, content_of_file

_MOST_BYTES: Final = 1 << 40
_ANSWER_SECONDS: Final = 10.0
_SEAL_SECONDS: Final = 120.0
"""The first question after an upload has it checked and copied."""
_LEAST_PUT_SECONDS: Final = 60.0
_SLOWEST_BYTES_PER_SECOND: Final = 1024 * 1024


@dataclass(frozen=True)
class NewFile:
    """What is to be kept. `file` is its id, made by whoever asks; `label` is what the dialect calls its purpose."""

    file: str
    account: str
    name: str
    label: str
    keep_seconds: float
    is_result: bool = False


class Library:
    """Asks the blob service. Files of another account do not exist."""

    def __init__(self, bus: Bus, transfer: Transfer, max_file_bytes: int) -> None:
        self._bus = bus
        self._transfer = transfer
        self.max_file_bytes = max_file_bytes

    async def store(self, wanted: NewFile, path: Path) -> FileEntry:
        """Return the file once it is kept; done twice it is kept once.

        Raises `Invalid`, `TooLarge`, `RateLimited` (the account keeps too much) or `Unavailable`.
        """
        content = content_of_file(path)
        order = CreateFile(
            file=wanted.file,
            account=wanted.account,
            name=wanted.name,
            label=wanted.label,
            size_bytes=content.size_bytes,
            keep_seconds=wanted.keep_seconds,
            is_result=wanted.is_result,
        )
        slot: FileSlot = await self._bus.request(CREATE_FILE, order, timeout_seconds=_ANSWER_SECONDS)
        if slot.upload_url is not None:
            seconds = _LEAST_PUT_SECONDS + content.size_bytes / _SLOWEST_BYTES_PER_SECOND
            try:
                await self._transfer.put(slot.upload_url, content, seconds)
            except FaultError as error:
                raise _unavailable() from error
        return await self.get(wanted.account, wanted.file, _SEAL_SECONDS)

    async def get(self, account: str, file: str, within_seconds: float = _ANSWER_SECONDS) -> FileEntry:
        """Return the file. Raises `NotFound`."""
        question = GetFile(file=file, account=account)
        entry: FileEntry = await self._bus.request(GET_FILE, question, timeout_seconds=within_seconds)
        return entry

    async def list(self, wanted: ListFiles) -> FilePage:
        """Return a page of an account's files. Raises `NotFound` for the file they come after."""
        page: FilePage = await self._bus.request(LIST_FILES, wanted, timeout_seconds=_ANSWER_SECONDS)
        return page

    async def delete(self, account: str, file: str) -> None:
        """Delete the file. Raises `NotFound`."""
        order = DeleteFile(file=file, account=account)
        await self._bus.request(DELETE_FILE, order, timeout_seconds=_ANSWER_SECONDS)

    @asynccontextmanager
    async def reading(self, entry: FileEntry) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the pieces of a file. Entering raises `Unavailable` if it cannot be had now."""
        if entry.url is None:
            raise NotFound("there is no such file")
        async with self._transfer.reading(entry.url, _MOST_BYTES) as pieces:
            yield pieces


def too_large(most_bytes: int) -> TooLarge:
    """Return the error for a file beyond the limit."""
    return TooLarge(f"the file has more than {most_bytes} bytes", "file")


def is_missing(error: FaultError) -> bool:
    """Say whether an error means that there is no such file (any more)."""
    return error.fault.code in (FaultCode.NOT_FOUND, FaultCode.CONFLICT)


def _unavailable() -> Unavailable:
    return Unavailable("files cannot be kept at the moment", retry_after_seconds=5.0)
