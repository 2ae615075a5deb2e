"""Jobs that nobody waits for, as inference.club shows them; a superset of what its pages and its code say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from gridloom_gateway.dialects.openai.wire.errors import Problem

PER_PAGE = 50
MAX_PER_PAGE = 100

Status = Literal["QUEUED", "PROCESSING", "PROCESSED", "FAILED", "CANCELED"]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, milliseconds, `Z`.")]
Seconds = Annotated[int, Meta(description="Seconds since 1970.")]
JobId = Annotated[str, Meta(pattern="^[a-z2-7]{26}$")]


class ListQuery(Struct, frozen=True, kw_only=True):
    """Filters of a listing. With `active` only jobs that have not ended."""

    status: Status | None = None
    active: bool = False
    limit: Annotated[int, Meta(ge=1, le=MAX_PER_PAGE)] = PER_PAGE
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class JobEnvelope(Struct, frozen=True, kw_only=True):
    """The job is recorded and will not be lost."""

    id: JobId
    status: Status
    inference_type: str
    model: str
    created: Seconds
    queued_at: Moment
    object: Literal["inference.job"] = "inference.job"


class JobDocument(Struct, frozen=True, kw_only=True):
    """A job. `result` is what its request would have been answered with, once it is PROCESSED."""

    id: JobId
    status: Status
    inference_type: str
    model: str
    model_name: str
    created: Seconds
    created_on: Moment
    queued_at: Moment
    attempts: int
    started_at: Moment | None = None
    completed_at: Moment | None = None
    latency_ms: int | None = None
    provider: str | None = None
    queue_position: int | None = None
    error: Problem | None = None
    visibility: Any = UNSET
    collection: Any = UNSET
    data_removed: bool | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    object: Literal["inference.job"] = "inference.job"


class JobList(Struct, frozen=True, kw_only=True):
    """One page of jobs, newest first, without their results."""

    data: list[JobDocument]
    has_more: bool
    object: Literal["list"] = "list"


class Cancellation(Struct, frozen=True, kw_only=True):
    """Whether the job is canceled; one that had ended otherwise stays as it is."""

    id: JobId
    status: Status
    canceled: bool
