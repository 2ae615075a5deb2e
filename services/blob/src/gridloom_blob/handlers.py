"""What the blob service answers and hears: files of waiting jobs, objects that travel by reference, ends of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Protocol

from gridloom_blob import metrics
from gridloom_blob.record import Blob, EndedJob, Phase, id_of
from gridloom_blob.reserving import Minting, Reservations, Wish
from gridloom_blob.rules import CONTENT_TYPES, check_size
from gridloom_blob.sealing import Sealer
from gridloom_contract.blobs import (
    BlobConfirmed,
    BlobSlot,
    ConfirmBlob,
    CreateBlob,
    ObjectReserved,
    ObjectsPresigned,
    PresignedObject,
    PresignObjects,
    Purpose,
    ReserveObject,
)
from gridloom_contract.events import JobFinished
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_domain.errors import Conflict, Invalid, NotFound
from gridloom_kit.crash import point
from gridloom_kit.log import bind, get_logger

log = get_logger()

_AT_ONCE = 16
_MOST_REFS = 1_000
_RESULTS = {
    FaultCode.CONFLICT: "missing",
    FaultCode.TOO_LARGE: "too_large",
    FaultCode.UNSUPPORTED_MEDIA: "not_an_image",
    FaultCode.UNAVAILABLE: "unavailable",
}


class Blobs(Protocol):
    """The record."""

    async def find_all(self, blobs: Collection[str]) -> dict[str, Blob]:
        """Return objects by id."""
        ...

    async def is_last(self, blob: Blob, now: datetime) -> bool:
        """Whether its job waits for no other file."""
        ...

    async def attach(self, blob: Blob, check_at: datetime) -> bool:
        """Its job refers to it."""
        ...

    async def doom(self, blob: Blob, why: str, now: datetime) -> Blob | None:
        """Give it up."""
        ...


class Bucket(Protocol):
    """S3."""

    async def ensure_reachable(self) -> None:
        """Raise `Unavailable` if it is not."""
        ...

    async def size_of(self, key: str) -> int | None:
        """Return an object's size."""
        ...

    async def put_url(self, key: str, seconds: int, size_bytes: int | None = None) -> str:
        """Return a URL to store an object."""
        ...

    async def get_url(self, key: str, seconds: int, content_type: str) -> str:
        """Return a URL that serves it."""
        ...


class Jobs(Protocol):
    """The scheduler."""

    async def hold(self, blob: Blob) -> None:
        """Keep a job back."""
        ...

    async def attach(self, blob: Blob, *, release: bool) -> None:
        """Give a file to its job."""
        ...


class Slots:
    """Makes slots for files of waiting jobs."""

    def __init__(self, reservations: Reservations, bucket: Bucket, jobs: Jobs, max_image_bytes: int) -> None:
        self._reservations = reservations
        self._bucket = bucket
        self._jobs = jobs
        self._max_image_bytes = max_image_bytes

    async def on_create(self, order: CreateBlob) -> BlobSlot:
        """Hold the job and return where to upload. Whatever goes wrong, no slot is left.

        Raises `Invalid` (type), `NotFound` or `Conflict` (job), `RateLimited`, or `Unavailable` if S3 is down.
        """
        bind(job=order.job)
        if order.blob_type != Purpose.IMAGE:
            raise Invalid(f"a file of type {order.blob_type!r} cannot be attached: images can", "blob_type")
        await self._bucket.ensure_reachable()
        wish = Wish(order.account, order.job, Purpose.IMAGE, self._max_image_bytes)
        blob = await self._reservations.make(wish)
        try:
            await self._jobs.hold(blob)
        except FaultError:
            await self._reservations.withdraw(blob)
            raise
        point("blob.job_held")
        seconds = int((blob.upload_until - blob.created_at).total_seconds())
        url = await self._bucket.put_url(blob.upload_key, seconds)
        log.info("blob.slot_made", blob=blob.id)
        return BlobSlot(blob=blob.id, upload_url=url, expires_in_seconds=seconds)


class Confirmations:
    """Takes what was uploaded and gives it to its job. Safe to be asked twice, also after a crash in between."""

    def __init__(self, blobs: Blobs, jobs: Jobs, sealer: Sealer, minting: Minting) -> None:
        self._blobs = blobs
        self._jobs = jobs
        self._sealer = sealer
        self._minting = minting

    async def on_confirm(self, order: ConfirmBlob) -> BlobConfirmed:
        """Return what was uploaded once its job has it.

        Raises `NotFound`, `Conflict` (nothing uploaded, expired, or the job does not wait any more), `TooLarge`,
        `UnsupportedMedia`; after the last two another upload may be tried.
        """
        blob = (await self._blobs.find_all((order.blob,))).get(order.blob)
        if blob is None or blob.account != order.account or blob.purpose is not Purpose.IMAGE:
            raise NotFound("there is no such blob")
        bind(job=blob.job)
        sealed = await self._sealed(blob)
        if sealed.phase is Phase.SEALED:
            await self._attach(sealed)
        metrics.confirms.labels("confirmed").inc()
        return BlobConfirmed(blob=sealed.id, content_type=sealed.content_type or "", size_bytes=sealed.size_bytes)

    async def _sealed(self, blob: Blob) -> Blob:
        try:
            return await self._sealer.sealed(blob)
        except FaultError as error:
            metrics.confirms.labels(_RESULTS.get(error.fault.code, "unavailable")).inc()
            raise

    async def _attach(self, blob: Blob) -> None:
        """The job is let go with its last file. Of two that are confirmed together, whoever is marked last does it."""
        is_last = await self._blobs.is_last(blob, self._minting.clock.now())
        await self._give(blob, release=is_last)
        point("blob.given")
        await self._blobs.attach(blob, blob.check_at)
        point("blob.attached")
        if not is_last and await self._blobs.is_last(blob, self._minting.clock.now()):
            await self._give(blob, release=True)
        log.info("blob.attached", blob=blob.id, size_bytes=blob.size_bytes, content_type=blob.content_type)

    async def _give(self, blob: Blob, *, release: bool) -> None:
        try:
            await self._jobs.attach(blob, release=release)
        except FaultError as error:
            if error.fault.code in (FaultCode.CONFLICT, FaultCode.NOT_FOUND):
                await self._blobs.doom(blob, "late", self._minting.clock.now())
                metrics.swept.labels("late").inc()
                metrics.confirms.labels("too_late").inc()
                raise Conflict("the job does not wait for files any more") from error
            raise


class Objects:
    """Tasks and outputs that are too large for the bus."""

    def __init__(
        self, reservations: Reservations, bucket: Bucket, blobs: Blobs, sealer: Sealer, max_object_bytes: int
    ) -> None:
        self._reservations = reservations
        self._bucket = bucket
        self._blobs = blobs
        self._sealer = sealer
        self._max_object_bytes = max_object_bytes
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def on_reserve(self, order: ReserveObject) -> ObjectReserved:
        """Return where to upload exactly so many bytes.

        Raises `Invalid`, `TooLarge`, `RateLimited` (a task over the account's limits), or `Unavailable` if S3 is down.
        """
        bind(job=order.job)
        if order.purpose not in CONTENT_TYPES:
            raise Invalid(f"nothing is reserved for {str(order.purpose)!r}: {', '.join(CONTENT_TYPES)} are", "purpose")
        check_size(order.size_bytes, self._max_object_bytes)
        await self._bucket.ensure_reachable()
        blob = await self._reservations.make(Wish(order.account, order.job, order.purpose, order.size_bytes))
        seconds = int((blob.upload_until - blob.created_at).total_seconds())
        return ObjectReserved(
            ref=blob.ref, upload_url=await self._bucket.put_url(blob.upload_key, seconds, blob.size_bytes)
        )

    async def on_presign(self, order: PresignObjects) -> ObjectsPresigned:
        """Return URLs that serve these objects, in order. One that is not there, or not what was announced, has none.

        An upload is sealed when somebody asks for it first. Raises `Invalid` (seconds, too many refs), `Unavailable`.
        """
        if order.seconds < 1 or len(order.refs) > _MOST_REFS:
            raise Invalid(f"{len(order.refs)} URLs for {order.seconds} seconds cannot be had")
        found = await self._blobs.find_all({id_of(ref) for ref in order.refs})
        presign = (self._presigned(ref, found.get(id_of(ref)), order) for ref in order.refs)
        return ObjectsPresigned(objects=tuple(await asyncio.gather(*presign)))

    async def _presigned(self, ref: str, blob: Blob | None, order: PresignObjects) -> PresignedObject:
        async with self._turns:
            usable = None if blob is None else await self._usable(blob, verify=order.verify)
            if usable is None or usable.key is None or usable.content_type is None:
                return PresignedObject(ref=ref)
            url = await self._bucket.get_url(usable.key, order.seconds, usable.content_type)
            return PresignedObject(
                ref=ref,
                url=url,
                content_type=usable.content_type,
                size_bytes=usable.size_bytes,
                job=usable.job,
                purpose=usable.purpose,
            )

    async def _usable(self, blob: Blob, *, verify: bool) -> Blob | None:
        """A slot is not confirmed by asking for it; everything else is sealed if it is there."""
        if blob.phase is Phase.OPEN and blob.purpose is Purpose.IMAGE:
            return None
        was_open = blob.phase is Phase.OPEN
        try:
            blob = await self._sealer.sealed(blob)
        except Conflict:
            return None
        if verify and not was_open and await self._bucket.size_of(blob.key or "") != blob.size_bytes:
            return None
        return blob


class Endings:
    """Remembers which jobs ended, until their data is removed."""

    def __init__(self, remember: Callable[[EndedJob], Awaitable[None]]) -> None:
        self._remember = remember

    async def on_finished(self, fact: JobFinished) -> None:
        """The retention of the job's inputs and outputs begins, anew if it ended before."""
        await self._remember(EndedJob(fact.job, fact.account, fact.at))
