"""What answers look like: for the description, since most of an answer is passed on as the engine gave it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one answer. Engines may tell more."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatChoice(Struct, frozen=True, kw_only=True):
    """One of the answers that were asked for."""

    index: int
    message: dict[str, Any]
    finish_reason: str | None
    logprobs: dict[str, Any] | None = None


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """The continuation of a conversation. `id` names the job: it is `chatcmpl-` and the job's id."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage | None = None


class TextChoice(Struct, frozen=True, kw_only=True):
    """One of the answers that were asked for."""

    index: int
    text: str
    finish_reason: str | None
    logprobs: dict[str, Any] | None = None


class Completion(Struct, frozen=True, kw_only=True):
    """The continuation of a text."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | None = None


class Embedding(Struct, frozen=True, kw_only=True):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the texts."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(Struct, frozen=True, kw_only=True):
    """The vectors of all texts, in their order."""

    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage | None = None
