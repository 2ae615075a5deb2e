"""Files of accounts: uploaded in one piece, readable until they expire or are deleted. No job has to do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_blob.record import Blob, Phase
from gridloom_blob.reserving import Minting, Wish
from gridloom_blob.rules import FILE_TYPE, Limits, check_limits, check_size, is_over
from gridloom_blob.sealing import Sealer
from gridloom_blob.store.files import FileStore
from gridloom_contract.blobs import Purpose
from gridloom_contract.files import CreateFile, DeleteFile, FileEntry, FilePage, FileSlot, GetFile, ListFiles
from gridloom_domain.errors import Conflict, Invalid, NotFound
from gridloom_kit.log import get_logger

log = get_logger()

_URL_SECONDS = 900
_MOST_PER_PAGE = 1_000
_LONGEST_NAME = 512
_LONGEST_KEPT_SECONDS = 366 * 86_400


class Bucket(Protocol):
    """S3."""

    async def ensure_reachable(self) -> None:
        """Raise `Unavailable` if it is not."""
        ...

    async def put_url(self, key: str, seconds: int, size_bytes: int | None = None) -> str:
        """Return a URL to store an object."""
        ...

    async def get_url(self, key: str, seconds: int, content_type: str) -> str:
        """Return a URL that serves it."""
        ...


@dataclass(frozen=True)
class FileLimits:
    """What an account may keep, and the largest file."""

    of: Callable[[str], Awaitable[Limits]]
    max_bytes: int


class AccountFiles:
    """One method a message. A file of another account does not exist."""

    def __init__(self, files: FileStore, bucket: Bucket, sealer: Sealer, minting: Minting, limits: FileLimits) -> None:
        self._files = files
        self._bucket = bucket
        self._sealer = sealer
        self._minting = minting
        self._limits = limits

    async def on_create(self, order: CreateFile) -> FileSlot:
        """Return where to upload, or that the file is there already.

        Raises `Invalid`, `TooLarge`, `RateLimited` (over the account's limits), `Conflict` (the id is another's), or
        `Unavailable` if S3 is down.
        """
        self._check(order)
        await self._bucket.ensure_reachable()
        file = await self._files.insert(self._new(order))
        if file.account != order.account or file.purpose is not Purpose.FILE or file.phase is Phase.DOOMED:
            raise Conflict(f"the file id {order.file} is taken", "file")
        if file.phase is not Phase.OPEN:
            return FileSlot(file=file.id)
        if not order.is_result:
            await self._within_limits(file)
        fresh = self._new(order)
        file = await self._files.renew(file, fresh.upload_until, fresh.check_at)
        url = await self._bucket.put_url(file.upload_key, self._minting.upload_seconds, file.size_bytes)
        return FileSlot(file=file.id, upload_url=url)

    async def on_get(self, question: GetFile) -> FileEntry:
        """Return the file and where to read it.

        Raises `NotFound`, or `Conflict` unless it was uploaded as announced.
        """
        file = await self._sealer.sealed(await self._owned(question.file, question.account))
        url = await self._bucket.get_url(file.key or file.upload_key, _URL_SECONDS, FILE_TYPE)
        return entry_of(file, url)

    async def on_list(self, question: ListFiles) -> FilePage:
        """Return a page of an account's files. Raises `Invalid`, or `NotFound` for the file they come after."""
        limit = question.limit
        if not 1 <= limit <= _MOST_PER_PAGE:
            raise Invalid(f"a page of {limit} files is none", "limit")
        after = None if question.after is None else await self._owned(question.after, question.account)
        found = await self._files.page_of(question, after, self._now(), limit + 1)
        return FilePage(files=tuple(map(entry_of, found[:limit])), has_more=len(found) > limit)

    async def on_delete(self, order: DeleteFile) -> FileEntry:
        """Delete the file, whose bytes go with the next sweep. Raises `NotFound`."""
        while (doomed := await self._doomed(await self._owned(order.file, order.account))) is None:
            """It was sealed or looked at in this very moment."""
        log.info("file.deleted", blob=doomed.id)
        return entry_of(doomed)

    async def _doomed(self, file: Blob) -> Blob | None:
        return await self._files.objects.doom(file, "deleted", self._now())

    async def _owned(self, file: str, account: str) -> Blob:
        found = await self._files.objects.find(file)
        if found is None or found.account != account or found.purpose is not Purpose.FILE:
            raise NotFound("there is no such file")
        if found.phase is Phase.DOOMED or is_over(found, self._now()):
            raise NotFound("there is no such file")
        return found

    def _new(self, order: CreateFile) -> Blob:
        blob = self._minting.blob(Wish(order.account, order.file, Purpose.FILE, order.size_bytes))
        expires_at = blob.created_at + timedelta(seconds=order.keep_seconds)
        return replace(blob, id=order.file, name=order.name, label=order.label, expires_at=expires_at)

    def _check(self, order: CreateFile) -> None:
        check_size(order.size_bytes, order.size_bytes if order.is_result else self._limits.max_bytes)
        if not 0 < order.keep_seconds <= _LONGEST_KEPT_SECONDS:
            raise Invalid(f"a file cannot be kept for {order.keep_seconds:g} seconds", "expires_after")
        if len(order.name) > _LONGEST_NAME:
            raise Invalid(f"a name of {len(order.name)} characters is too long", "file")

    async def _within_limits(self, file: Blob) -> None:
        try:
            check_limits(await self._files.objects.holdings_of(file.account), await self._limits.of(file.account))
        except Exception:
            await self._files.objects.withdraw(file)
            raise

    def _now(self) -> datetime:
        return self._minting.clock.now()


def entry_of(file: Blob, url: str | None = None) -> FileEntry:
    """Return the file as its owner sees it."""
    return FileEntry(
        file=file.id,
        name=file.name or "",
        label=file.label or "",
        size_bytes=file.size_bytes,
        created_at=file.created_at,
        expires_at=file.expires_at or file.created_at,
        url=url,
    )
