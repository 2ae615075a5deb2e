"""Infernet's API as it is spelled on the wire (seeds/002; API.md §1.3). Fields that do not apply are left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_TOKENS = 1_000_000
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, seconds, `Z`.")]
JobId = Annotated[str, Meta(pattern="^job_[0-9a-f]{32}$")]
Status = Literal["pending", "processing", "completed", "failed"]
ChatMessage = Annotated[
    dict[str, Any], Meta(description="A chat message in OpenAI's format.", examples=[{"role": "user", "content": "Hi"}])
]


class Said(Struct, frozen=True, kw_only=True):
    """What every chat message must have; its other fields are handed on as they are."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[dict[str, Any]] | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """What all messages must have."""

    messages: list[Said]


class SubmitJob(Struct, frozen=True, kw_only=True):
    """Messages for a model. Fields that are not named here are ignored."""

    model: Annotated[str, Meta(min_length=1, max_length=256, examples=["llama3:8b"])]
    messages: Annotated[list[ChatMessage], Meta(min_length=1, examples=[[{"role": "user", "content": "Hello!"}]])]
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stream: bool | None = None
    node_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class ListQuery(Struct, frozen=True, kw_only=True):
    """Filters of a listing. A `limit` over 100 counts as 100."""

    limit: Annotated[int, Meta(ge=1)] = DEFAULT_LIMIT
    status: Literal["all", "pending", "processing", "completed", "failed"] = "all"
    since: Annotated[str, Meta(max_length=64, extra_json_schema={"format": "date-time"})] | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of a job."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Result(Struct, frozen=True, kw_only=True):
    """What a completed job answered."""

    content: str
    usage: Usage | UnsetType = UNSET


class JobDocument(Struct, frozen=True, kw_only=True):
    """A job. `result` comes once it is completed, `error` and `error_message` once it failed."""

    id: JobId
    status: Status
    model: str
    node_id: str | UnsetType = UNSET
    result: Result | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    created_at: Moment
    completed_at: Moment | UnsetType = UNSET
    latency_ms: int | UnsetType = UNSET


class JobList(Struct, frozen=True, kw_only=True):
    """Jobs, newest first, without their results."""

    jobs: list[JobDocument]


class Model(Struct, frozen=True, kw_only=True):
    """A model that `nodes` nodes have loaded now."""

    id: str
    nodes: int
    avg_tokens_per_second: float


class Models(Struct, frozen=True, kw_only=True):
    """The models that at least one node serves now."""

    models: list[Model]


class TextEvent(Struct, frozen=True, kw_only=True):
    """More text of a stream."""

    text: str


class ErrorEvent(Struct, frozen=True, kw_only=True):
    """Why a stream ends early."""

    error: str
    message: str


class Error(Struct, frozen=True, kw_only=True):
    """What went wrong: a word for programs and a sentence for people."""

    error: str
    error_message: str
