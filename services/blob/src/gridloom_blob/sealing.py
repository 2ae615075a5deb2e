"""Seals an upload: checks it, on a copy that its uploader cannot reach any more.

A presigned URL writes as often as one likes until it expires, so what was found good under the upload key could be
something else a moment later. What is sealed stays what it was.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from gridloom_blob.record import Blob, Phase
from gridloom_blob.reserving import Minting
from gridloom_blob.rules import judged_image, judged_object
from gridloom_contract.blobs import Purpose
from gridloom_domain.errors import Conflict, GridError, Unavailable
from gridloom_domain.images import SNIFFED_BYTES
from gridloom_kit.crash import point

_MOST_KEYS = 32
"""So often an upload may change while it is looked at."""


@dataclass(frozen=True)
class Upload:
    """What lies under a key."""

    size_bytes: int
    content_type: str


class Blobs(Protocol):
    """The record."""

    async def find(self, blob: str) -> Blob | None:
        """Return an object."""
        ...

    async def add_key(self, blob: Blob, key: str) -> bool:
        """Remember another key of an open object."""
        ...

    async def seal(self, blob: Blob, sealed: Blob) -> Blob | None:
        """Make an open object a sealed one."""
        ...


class Bucket(Protocol):
    """S3."""

    async def size_of(self, key: str) -> int | None:
        """Return an object's size."""
        ...

    async def beginning_of(self, key: str, length_bytes: int) -> bytes:
        """Return its first bytes."""
        ...

    async def copy(self, source: str, target: str, content_type: str) -> bool:
        """Copy it."""
        ...

    async def delete(self, keys: tuple[str, ...]) -> None:
        """Delete it."""
        ...


class Sealer:
    """Makes open objects sealed ones."""

    def __init__(self, blobs: Blobs, bucket: Bucket, minting: Minting, max_image_bytes: int) -> None:
        self._blobs = blobs
        self._bucket = bucket
        self._minting = minting
        self._max_image_bytes = max_image_bytes

    async def sealed(self, blob: Blob) -> Blob:
        """Return the object sealed, by whomever.

        Raises `Conflict` (nothing uploaded, not what was announced, or given up), `TooLarge` or `UnsupportedMedia`.
        """
        if blob.phase is not Phase.OPEN:
            return _usable(blob)
        try:
            return await self._seal(blob)
        except Conflict:
            current = await self._blobs.find(blob.id)
            if current is None or current.phase is Phase.OPEN:
                raise
            return _usable(current)

    async def _seal(self, blob: Blob) -> Blob:
        upload = await self._judged(blob, blob.upload_key)
        key = self._minting.key(blob.account, blob.job)
        if len(blob.keys) > _MOST_KEYS or not await self._blobs.add_key(blob, key):
            raise Conflict("the upload is not open any more")
        point("blob.key_added")
        try:
            sealed = await self._copied(blob, key, upload)
        except GridError:
            await self._delete(key)
            raise
        await self._delete(blob.upload_key)
        return sealed

    async def _copied(self, blob: Blob, key: str, upload: Upload) -> Blob:
        if not await self._bucket.copy(blob.upload_key, key, upload.content_type):
            raise Conflict("the upload has gone")
        point("blob.copied")
        sealed = await self._blobs.seal(blob, self._with(blob, key, await self._judged(blob, key)))
        point("blob.sealed")
        if sealed is None:
            raise Conflict("somebody else was faster")
        return sealed

    async def _delete(self, key: str) -> None:
        """Sooner than the sweep, which deletes it once more when nobody can be writing there."""
        with suppress(Unavailable):
            await self._bucket.delete((key,))

    async def _judged(self, blob: Blob, key: str) -> Upload:
        size = await self._bucket.size_of(key)
        if size is None:
            raise Conflict("nothing has been uploaded")
        if blob.purpose is not Purpose.IMAGE:
            return Upload(size, judged_object(size, blob))
        beginning = await self._bucket.beginning_of(key, SNIFFED_BYTES) if 0 < size <= self._max_image_bytes else b""
        return Upload(size, judged_image(size, beginning, self._max_image_bytes))

    def _with(self, blob: Blob, key: str, upload: Upload) -> Blob:
        return replace(
            blob,
            key=key,
            size_bytes=upload.size_bytes,
            content_type=upload.content_type,
            check_at=self._minting.terms.uploads_end(blob),
        )


def _usable(blob: Blob) -> Blob:
    if blob.phase is Phase.DOOMED:
        raise Conflict("the upload has expired")
    return blob
