"""Files of jobs as the native API spells them (seeds/000 §File Input)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gridloom_gateway.dialects.native.wire import JobId

BlobId = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]


class CreateBlob(Struct, frozen=True, kw_only=True):
    """A file for a pending job of yours."""

    job_id: JobId
    blob_type: Literal["image"] | None = None


class Slot(Struct, frozen=True, kw_only=True):
    """Where to PUT the bytes, without authorization, within so many seconds. The job waits as long."""

    blob_id: BlobId
    upload_url: str
    expires_in: int


class Confirmed(Struct, frozen=True, kw_only=True):
    """The file belongs to its job; what it is was read from its first bytes."""

    blob_id: BlobId
    content_type: str
    size_bytes: int
    status: Literal["confirmed"] = "confirmed"
