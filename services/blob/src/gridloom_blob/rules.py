"""Decisions: is it an image, may the account keep more, what becomes of an object whose time has come."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from gridloom_blob.record import Blob, Holdings, Phase
from gridloom_contract.blobs import Purpose
from gridloom_contract.jobs import Job
from gridloom_domain.errors import Conflict, Invalid, RateLimited, TooLarge, UnsupportedMedia
from gridloom_domain.images import image_type
from gridloom_domain.job import is_terminal

CONTENT_TYPES = {
    Purpose.TASK: "application/json",
    Purpose.OUTPUT: "text/plain; charset=utf-8",
    Purpose.EVENT: "application/json",
}
"""What our own objects are; an image is what its first bytes say."""
FILE_TYPE = "application/octet-stream"
"""An account's file is for nobody to show."""

_KEY_PART = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RETRY_SECONDS = 60.0


def judged_image(size_bytes: int, beginning: bytes, most_bytes: int) -> str:
    """Return the type of an uploaded image. Raises `TooLarge` or `UnsupportedMedia`."""
    if size_bytes > most_bytes:
        raise TooLarge(f"the upload has {size_bytes} bytes, an image may have {most_bytes}")
    found = image_type(beginning)
    if found is None:
        raise UnsupportedMedia("the upload is no image: PNG, JPEG, GIF and WebP are")
    return found


def judged_object(size_bytes: int, blob: Blob) -> str:
    """Return the type of an uploaded task or output. Raises `Conflict` if it is not what was announced."""
    if size_bytes != blob.size_bytes:
        raise Conflict(f"the upload has {size_bytes} bytes, announced were {blob.size_bytes}")
    return CONTENT_TYPES.get(blob.purpose, FILE_TYPE)


def object_key(account: str, job: str, chance: str) -> str:
    """Return a key in the bucket. Raises `Invalid` for what is not a plain word."""
    for name, part in (("account", account), ("job", job)):
        if not _KEY_PART.fullmatch(part):
            raise Invalid(f"{part[:64]!r} cannot be part of an object's key", name)
    return f"{account}/{job}/{chance}"


@dataclass(frozen=True)
class Limits:
    """What an account may keep."""

    max_bytes: int
    max_objects: int
    max_open_slots: int


def check_limits(held: Holdings, limits: Limits) -> None:
    """Raise `RateLimited` if an account that holds this holds too much."""
    refusals = (
        (held.size_bytes > limits.max_bytes, f"the account may keep {limits.max_bytes} bytes of files"),
        (held.objects > limits.max_objects, f"the account may keep {limits.max_objects} files"),
        (held.open_slots > limits.max_open_slots, f"{limits.max_open_slots} uploads of the account are open"),
    )
    for is_over, why in refusals:
        if is_over:
            raise RateLimited(why, retry_after_seconds=_RETRY_SECONDS)


def check_size(size_bytes: int, most_bytes: int) -> None:
    """Raise `Invalid` or `TooLarge` if an object of this size is not kept."""
    if size_bytes < 1:
        raise Invalid(f"an object of {size_bytes} bytes is none", "size_bytes")
    if size_bytes > most_bytes:
        raise TooLarge(f"an object of {size_bytes} bytes exceeds {most_bytes}", "size_bytes")


@dataclass(frozen=True)
class Terms:
    """After which times an object is looked at, and deleted again."""

    orphan: timedelta
    late_upload: timedelta
    settle: timedelta
    recheck: timedelta

    def first_check(self, purpose: Purpose, now: datetime, upload_until: datetime) -> datetime:
        """Return when a new object is looked at: a slot when it has expired, others when their job should be there."""
        return upload_until + self.settle if purpose is Purpose.IMAGE else max(now + self.orphan, upload_until)

    def uploads_end(self, blob: Blob) -> datetime:
        """Return when nobody can be uploading any more."""
        return blob.upload_until + self.late_upload

    def next_check(self, blob: Blob, now: datetime) -> datetime:
        """Return when an attached object is looked at: when spare uploads are history, then now and then."""
        end = self.uploads_end(blob)
        return end if now < end else now + self.recheck

    def last_erasure(self, blob: Blob) -> datetime:
        """Return when a doomed object is deleted for good: whatever was under way has ended."""
        return max(self.uploads_end(blob), (blob.doomed_at or blob.upload_until) + self.settle)


@dataclass(frozen=True)
class Attach:
    """Its job refers to it."""


@dataclass(frozen=True)
class Wait:
    """Its job may still come to refer to it."""


@dataclass(frozen=True)
class Doom:
    """Nobody wants it, and `why`."""

    why: str


def fate(blob: Blob, job: Job | None) -> Attach | Wait | Doom:
    """Decide what becomes of an object whose time to be looked at has come. `job` is None if there is none.

    What was attached once goes with its job's data, not sooner: an output that a retry replaced stays until then, too.
    Nobody refers to the body of a webhook but whoever delivers it.
    """
    if job is None or job.data_removed:
        return Doom("orphan")
    if blob.phase is Phase.ATTACHED or blob.purpose is Purpose.EVENT or refers_to(job, blob):
        return Attach()
    if blob.purpose is Purpose.OUTPUT and not is_terminal(job.state):
        return Wait()
    return Doom("orphan")


def has_expired(blob: Blob) -> bool:
    """Say whether an object whose time has come is a slot into which nobody put anything that was confirmed."""
    return blob.phase is Phase.OPEN and blob.purpose in (Purpose.IMAGE, Purpose.FILE)


def is_over(blob: Blob, now: datetime) -> bool:
    """Say whether an account's file has reached its end."""
    return blob.expires_at is not None and now >= blob.expires_at


def refers_to(job: Job, blob: Blob) -> bool:
    """Say whether the job's document names the object."""
    return blob.ref in (job.task_ref, job.output_ref, *job.attachments)
