"""Blobs: files of jobs, and payloads too large for the bus. Only the blob service knows S3's keys."""

from __future__ import annotations

from gridloom_contract.base import GrowingEnum, Instant, Message, Value


class Purpose(GrowingEnum):
    """Why an object is stored."""

    IMAGE = "image"
    TASK = "task"
    OUTPUT = "output"
    EVENT = "event"
    FILE = "file"
    UNKNOWN = "unknown"


class CreateBlob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.create.1"):
    """Gateway to blob: a slot for a file of a waiting job; the job is held until it is confirmed or the slot expires.

    Faults: `not_found` (job), `conflict` (the job is no longer waiting), `invalid` (type), `rate_limited` (account's
    limit).
    """

    account: str
    job: str
    blob_type: str = "image"


class BlobSlot(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.slot.1"):
    """Answer to `CreateBlob`: PUT the bytes to `upload_url` within `expires_in_seconds`, without authorization."""

    blob: str
    upload_url: str
    expires_in_seconds: int


class ConfirmBlob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.confirm.1"):
    """Gateway to blob:
    the upload is done. Faults: `not_found`, `conflict` (nothing uploaded), `unsupported_media`, `too_large`.
    """

    account: str
    blob: str


class BlobConfirmed(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.confirmed.1"):
    """Answer to `ConfirmBlob`."""

    blob: str
    content_type: str
    size_bytes: int


class ReserveObject(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.object.reserve.1"):
    """Gateway (a large task, a webhook's large body) or scheduler (a worker's large output) to blob:
    where to PUT `size_bytes`.

    `job` owns the object; it goes with the job's retention, or after an hour if the job never came.
    """

    account: str
    job: str
    purpose: Purpose
    size_bytes: int


class ObjectReserved(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.object.reserved.1"):
    """Answer to `ReserveObject`: `ref` stands for the object on the bus."""

    ref: str
    upload_url: str


class PresignObjects(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.objects.presign.1"):
    """Scheduler, gateway or webhook to blob: GET URLs for these refs, valid for `seconds`.

    With `verify` each must be there.
    """

    refs: tuple[str, ...]
    seconds: int = 900
    verify: bool = False


class PresignedObject(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One object. `url` is None when it is gone or was never uploaded.

    `job` and `purpose` are what it was reserved for: that a stranger names a ref proves nothing by itself.
    """

    ref: str
    url: str | None = None
    content_type: str | None = None
    size_bytes: int = 0
    job: str | None = None
    purpose: Purpose | None = None


class ObjectsPresigned(Message, frozen=True, kw_only=True, omit_defaults=True, tag="blob.objects.presigned.1"):
    """Answer to `PresignObjects`, in its order."""

    objects: tuple[PresignedObject, ...]


class HoldJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.hold.1"):
    """Blob to scheduler:
    keep a waiting job back until `until`, or for as long as it is held already if that is longer.

    Faults: `not_found` (also another account's job), `conflict` once it is claimed, running or ended. Answered by the
    `Job`.
    """

    job: str
    account: str
    reason: str
    until: Instant


class AttachBlob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.attach.1"):
    """Blob to scheduler:
    `ref` belongs to the job now; with `release` it waits for a worker again, unless it is held for another reason.

    Faults: `not_found`, `conflict` once it is claimed, running or ended and does not have `ref` yet. Sent again it
    attaches nothing twice, but may release. Answered by the `Job`.
    """

    job: str
    account: str
    ref: str
    content_type: str
    release: bool = True


class PurgeJobData(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.data.purge.1"):
    """Blob to scheduler: the retention of these ended jobs is over; forget their inputs and outputs.

    Only of jobs whose last end is not after `ended_before`: one that was retried meanwhile keeps its data.
    """

    jobs: tuple[str, ...]
    ended_before: Instant | None = None


class JobDataPurged(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.data.purged.1"):
    """Answer to `PurgeJobData`: how many documents changed, and which jobs keep their data: they are live again, or
    ended later. Of all others nothing is left, be it since now or before.
    """

    count: int
    kept: tuple[str, ...] = ()
