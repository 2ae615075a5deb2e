"""Batches of both kinds: OpenAI's, with files, and inference.club's, with the requests themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gridloom_domain.batch import MOST_REQUESTS
from gridloom_gateway.dialects.openai.wire.jobs import JobDocument

PER_PAGE = 50
MAX_PER_PAGE = 100

BatchId = Annotated[str, Meta(pattern="^batch_[a-z2-7]{26}$")]
Seconds = Annotated[int, Meta(description="Seconds since 1970.")]
Short = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[dict[Annotated[str, Meta(max_length=64)], Short], Meta(max_length=16)]
Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]


class ExpiresAfter(Struct, frozen=True, kw_only=True):
    """How long files are kept, from when they are made."""

    seconds: Annotated[int, Meta(ge=3_600, le=2_592_000)]
    anchor: Literal["created_at"] = "created_at"


class FromFile(Struct, frozen=True, kw_only=True):
    """A batch whose lines are in a file. `output_expires_after` is about the files that it leaves."""

    input_file_id: str
    endpoint: Endpoint
    completion_window: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,3}[hd]$", examples=["24h"])] = "24h"
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """One request of a batch."""

    endpoint: Annotated[str, Meta(examples=["/v1/chat/completions"])]
    body: dict[str, Any]


class FromRequests(Struct, frozen=True, kw_only=True):
    """A batch that is all here: taken as a whole or not at all."""

    requests: Annotated[list[Entry], Meta(min_length=1, description=f"At most {MOST_REQUESTS}.")]
    label: Short | None = None


class CreateBatch(Struct, frozen=True, kw_only=True):
    """Either with `input_file_id`, or with `requests`."""

    input_file_id: str | UnsetType = UNSET
    endpoint: Endpoint | UnsetType = UNSET
    completion_window: str | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    output_expires_after: ExpiresAfter | UnsetType | None = UNSET
    requests: list[Entry] | UnsetType = UNSET
    label: Short | UnsetType | None = UNSET


class ListQuery(Struct, frozen=True, kw_only=True):
    """Where a listing goes on."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PER_PAGE)] = PER_PAGE


class RequestCounts(Struct, frozen=True, kw_only=True):
    """How many lines there are, and how they ended so far."""

    total: int
    completed: int
    failed: int


class Problem(Struct, frozen=True, kw_only=True):
    """What is wrong with a batch, or with one of its lines."""

    code: str
    message: str
    line: int | None
    param: str | None


class Problems(Struct, frozen=True, kw_only=True):
    """All of it."""

    data: list[Problem]
    object: Literal["list"] = "list"


class Cached(Struct, frozen=True, kw_only=True):
    """What was read again: nobody counts it."""

    cached_tokens: Literal[0] = 0


class Thought(Struct, frozen=True, kw_only=True):
    """What was thought and not said: nobody counts it."""

    reasoning_tokens: Literal[0] = 0


class BatchUsage(Struct, frozen=True, kw_only=True):
    """The tokens of all lines."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: Cached = Cached()
    output_tokens_details: Thought = Thought()


class FileBatch(Struct, frozen=True, kw_only=True, tag_field="object", tag="batch"):
    """A batch with files, as OpenAI shows it."""

    id: BatchId
    endpoint: str
    status: str
    input_file_id: str
    completion_window: str
    created_at: Seconds
    request_counts: RequestCounts
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: Problems | None = None
    in_progress_at: Seconds | None = None
    expires_at: Seconds | None = None
    finalizing_at: Seconds | None = None
    completed_at: Seconds | None = None
    failed_at: Seconds | None = None
    expired_at: Seconds | None = None
    cancelling_at: Seconds | None = None
    cancelled_at: Seconds | None = None
    metadata: dict[str, str] | None = None
    model: str | UnsetType = UNSET
    usage: BatchUsage | UnsetType = UNSET


class RequestBatch(Struct, frozen=True, kw_only=True, tag_field="object", tag="inference.batch"):
    """A batch that came as requests, as inference.club shows it. `jobs` are in their order, where they are shown."""

    id: BatchId
    label: str | None
    status: Literal["PENDING", "PROCESSING", "DONE"]
    total: int
    queued: int
    processing: int
    processed: int
    failed: int
    created: Seconds
    jobs: list[JobDocument] | UnsetType = UNSET


class BatchList(Struct, frozen=True, kw_only=True):
    """One page of batches, newest first."""

    data: list[FileBatch | RequestBatch]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"


class FileLine(Struct, frozen=True, kw_only=True):
    """One line of an input file."""

    custom_id: Annotated[str, Meta(min_length=1, max_length=512)]
    method: str
    url: str
    body: dict[str, Any]
