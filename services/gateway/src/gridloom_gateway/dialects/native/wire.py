"""The native API as it is spelled on the wire (seeds/000; API.md §1.1). Fields that do not apply are left out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_PRIORITY = 1_000_000
MAX_TIMEOUT_SECONDS = 7 * 86_400
MAX_BLOBS = 16
PER_PAGE = 25

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, milliseconds, `Z`.")]
JobId = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Status = Literal["pending", "claimed", "running", "completed", "failed"]
Tag = Annotated[str, Meta(max_length=64)]
Priority = Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]

BlobCount = Annotated[
    int, Meta(ge=0, le=MAX_BLOBS, description="How many files will follow: the job waits for them, up to 15 minutes.")
]


class SubmitJob(Struct, frozen=True, kw_only=True):
    """A prompt for a model. Fields that are not named here are ignored."""

    model: Annotated[str, Meta(min_length=1, max_length=256, examples=["llama3:8b"])]
    prompt: Annotated[str, Meta(min_length=1, examples=["Say hello."])]
    model_match: Literal["exact", "family"] | None = None
    tag: Tag | None = None
    webhook_url: Annotated[str, Meta(max_length=2048)] | None = None
    priority: Priority | None = None
    timeout_seconds: Annotated[int, Meta(ge=1, le=MAX_TIMEOUT_SECONDS)] | None = None
    expect_blobs: BlobCount | None = None


class ListQuery(Struct, frozen=True, kw_only=True):
    """Filters of a listing."""

    status: Literal["pending", "claimed", "running", "completed", "failed", "cancelled", "canceled"] | None = None
    tag: Tag | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class ChangePriority(Struct, frozen=True, kw_only=True):
    """How much to add to the priority: positive is sooner, negative later."""

    priority: Priority


class Submitted(Struct, frozen=True, kw_only=True):
    """The job is recorded and will not be lost. `id` is always `job_id`."""

    job_id: JobId
    id: JobId
    status: Status
    created_at: Moment


class JobDocument(Struct, frozen=True, kw_only=True):
    """A job. `output` and its counts come once it is completed; `cancelled` tells a cancellation from a failure.

    `data_removed` says that the retention is over and the output with it. `waiting_for` says why a pending job is not
    in the queue (`quota`, `blob`, `backoff`), and `held_until` when it comes back there by itself at the latest.
    """

    job_id: JobId
    id: JobId
    status: Status
    model: str
    created_at: Moment
    priority: int
    timeout_seconds: int
    attempts: int
    model_match: Literal["exact", "family"] | UnsetType = UNSET
    tag: str | UnsetType = UNSET
    served_model: str | UnsetType = UNSET
    claimed_at: Moment | UnsetType = UNSET
    started_at: Moment | UnsetType = UNSET
    completed_at: Moment | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET
    output: str | UnsetType = UNSET
    output_tokens: int | UnsetType | None = UNSET
    input_tokens: int | UnsetType | None = UNSET
    finish_reason: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    cancelled: bool | UnsetType = UNSET
    data_removed: bool | UnsetType = UNSET
    waiting_for: str | UnsetType = UNSET
    held_until: Moment | UnsetType = UNSET
    queue_position: int | UnsetType = UNSET
    estimated_start_seconds: float | UnsetType = UNSET


class JobList(Struct, frozen=True, kw_only=True):
    """One page of jobs, newest first, without their outputs. A page beyond the end is empty."""

    jobs: list[JobDocument]
    page: int
    per_page: int
    total: int
    total_pages: int


class Cancelled(Struct, frozen=True, kw_only=True):
    """How many pending jobs were cancelled."""

    cancelled: int


class Model(Struct, frozen=True, kw_only=True):
    """A model that workers have offered; `worker_count` of them are online now."""

    id: str
    name: str
    model: str
    family: str
    kind: str
    worker_count: int
    slots: int
    waiting: int
    tokens_per_second: float
    context_length: int | None
    features: list[str]


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one job."""

    tokens_in: int
    tokens_out: int
    estimated: bool | UnsetType = UNSET


class Failure(Struct, frozen=True, kw_only=True):
    """Why an attempt failed."""

    code: str
    message: str


class TimelineEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a job. Which fields are there depends on `type`."""

    seq: int
    type: str
    at: Moment
    attempt: int
    model: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    content_type: str | UnsetType = UNSET
    worker: str | UnsetType = UNSET
    served_model: str | UnsetType = UNSET
    why: str | UnsetType = UNSET
    waited_ms: int | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    engine_seconds: float | UnsetType = UNSET
    first_token_seconds: float | UnsetType = UNSET
    fault: Failure | UnsetType = UNSET


class TimelineDocument(Struct, frozen=True, kw_only=True):
    """All events of a job, in the order in which they happened."""

    job_id: JobId
    id: JobId
    events: list[TimelineEvent]


class StateEvent(Struct, frozen=True, kw_only=True):
    """`state` of a stream: the job moved, or waits at another place."""

    job_id: JobId
    status: Status
    attempt: int
    queue_position: int | UnsetType = UNSET
    estimated_start_seconds: float | UnsetType = UNSET


class TokenEvent(Struct, frozen=True, kw_only=True):
    """`token` of a stream: more text."""

    text: str


class ResetEvent(Struct, frozen=True, kw_only=True):
    """`reset` of a stream: forget the text, another attempt starts from its beginning."""

    attempt: int


class Error(Struct, frozen=True, kw_only=True):
    """What went wrong: a word for programs, a sentence for people, and the field it concerns."""

    error: str
    message: str
    request_id: str
    field: str | UnsetType = UNSET
