"""What is asked for. Only what the gateway itself acts on has a type; the engine judges everything else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

ModelName = Annotated[str, Meta(min_length=1, max_length=256, examples=["llama3:8b"])]
Message = Annotated[dict[str, Any], Meta(examples=[{"role": "user", "content": "Say hello."}])]
Texts = Annotated[
    Annotated[str, Meta(min_length=1)] | Annotated[list[Any], Meta(min_length=1)],
    Meta(description="A text or several, each perhaps in tokens."),
]


class StreamOptions(Struct, frozen=True, kw_only=True):
    """With `include_usage` a stream ends with a chunk that counts its tokens."""

    include_usage: bool | None = None


class Inference(Struct, frozen=True, kw_only=True):
    """What every request may have. With `async` it is answered at once with a job, whatever `stream` says.

    `visibility` and `collection` are kept with the job and not handed on.
    """

    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    is_async: bool | None = field(name="async", default=None)
    visibility: Any = None
    collection: Any = None


class ChatRequest(Inference, frozen=True, kw_only=True):
    """A conversation to be continued. What is not named here goes to the engine as it is."""

    messages: Annotated[list[Message], Meta(min_length=1)]


class CompletionRequest(Inference, frozen=True, kw_only=True):
    """A text to be continued. What is not named here goes to the engine as it is."""

    prompt: Texts


class EmbeddingRequest(Inference, frozen=True, kw_only=True):
    """Texts to be turned into vectors: lists of numbers, or little-endian float32 in base64."""

    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
