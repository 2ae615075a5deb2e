"""Makes new objects: within the account's limits, in the record before anybody can upload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from gridloom_blob.record import Blob, Holdings
from gridloom_blob.rules import Limits, Terms, check_limits, object_key
from gridloom_contract.blobs import Purpose
from gridloom_domain.errors import Conflict
from gridloom_domain.ids import RANDOM_BYTES, new_id
from gridloom_kit.clock import Clock
from gridloom_kit.crash import point

Chance = Callable[[int], bytes]
_KEY_BYTES = 16
_NEVER_REFUSED = (Purpose.OUTPUT, Purpose.EVENT)
"""The work is done, and nobody could do anything about a refusal."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants to upload. `size_bytes` is what it has, or the most it may have."""

    account: str
    job: str
    purpose: Purpose
    size_bytes: int


class Blobs(Protocol):
    """The record."""

    async def insert(self, blob: Blob) -> None:
        """Store a new object."""
        ...

    async def withdraw(self, blob: Blob) -> None:
        """Forget a new object whose URL was never given away."""
        ...

    async def holdings_of(self, account: str) -> Holdings:
        """Return what an account keeps."""
        ...

    async def files_of(self, account: str, job: str) -> int:
        """Return how many files a job has."""
        ...


@dataclass(frozen=True)
class Minting:
    """How new objects are made."""

    clock: Clock
    chance: Chance
    terms: Terms
    upload_seconds: int

    def blob(self, wish: Wish) -> Blob:
        """Return a new object. Raises `Invalid` for an account or a job that cannot be part of its key."""
        now = self.clock.now()
        key = self.key(wish.account, wish.job)
        upload_until = now + timedelta(seconds=self.upload_seconds)
        return Blob(
            id=new_id(int(now.timestamp() * 1000), self.chance(RANDOM_BYTES)),
            account=wish.account,
            job=wish.job,
            purpose=wish.purpose,
            upload_key=key,
            keys=(key,),
            size_bytes=wish.size_bytes,
            created_at=now,
            upload_until=upload_until,
            check_at=self.terms.first_check(wish.purpose, now, upload_until),
        )

    def key(self, account: str, job: str) -> str:
        """Return a key under which nothing ever lay."""
        return object_key(account, job, self.chance(_KEY_BYTES).hex())


class Reservations:
    """Makes objects."""

    def __init__(
        self,
        blobs: Blobs,
        minting: Minting,
        limits_of: Callable[[str], Awaitable[Limits]],
        max_job_files: int,
    ) -> None:
        self._blobs = blobs
        self._minting = minting
        self._limits_of = limits_of
        self._max_job_files = max_job_files

    async def make(self, wish: Wish) -> Blob:
        """Return a new object in the record.

        Raises `RateLimited` over the account's limits, `Conflict` over its job's.
        """
        blob = self._minting.blob(wish)
        await self._blobs.insert(blob)
        point("blob.reserved")
        if wish.purpose not in _NEVER_REFUSED:
            await self._within_limits(blob)
        return blob

    async def withdraw(self, blob: Blob) -> None:
        """Take back what was made, before anybody got its URL."""
        await self._blobs.withdraw(blob)

    async def _within_limits(self, blob: Blob) -> None:
        """Counted after it is stored: of two that come together neither overlooks the other."""
        try:
            check_limits(await self._blobs.holdings_of(blob.account), await self._limits_of(blob.account))
            if blob.purpose is Purpose.IMAGE:
                await self._few_enough(blob)
        except Exception:
            await self._blobs.withdraw(blob)
            raise

    async def _few_enough(self, blob: Blob) -> None:
        if await self._blobs.files_of(blob.account, blob.job) > self._max_job_files:
            raise Conflict(f"a job may have {self._max_job_files} files", "job")
