"""The part of the OpenAI wire format that the worker reads and writes. What it does not name passes through unread."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_contract.work import WorkOrder
from gridloom_worker.engines.engine import TokenCounts

T = TypeVar("T")

_PATHS = {Kind.CHAT: "chat/completions", Kind.COMPLETION: "completions", Kind.EMBEDDING: "embeddings"}

_ESCAPE = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?P<other>\\.)"
)


def can_do(task: Task) -> bool:
    """Say whether there is a request for such a task. Vectors are no text: only who takes a whole body gets them."""
    return task.kind in _PATHS and (task.kind is not Kind.EMBEDDING or task.raw is not None)


class Content(msgspec.Struct):
    """The text of a delta or of a whole message."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One alternative: `delta` while streaming, `message` or `text` otherwise."""

    index: int = 0
    delta: Content | None = None
    message: Content | None = None
    text: str | None = None
    finish_reason: str | None = None

    def piece(self) -> str:
        """Return the text this choice brings."""
        part = self.delta or self.message
        return (part.content if part else self.text) or ""


class WireUsage(msgspec.Struct):
    """Token counts as the engine gives them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def as_counts(self) -> TokenCounts:
        """Return the counts as every engine gives them."""
        return TokenCounts(tokens_in=self.prompt_tokens, tokens_out=self.completion_tokens)


class Chunk(msgspec.Struct):
    """A frame of a stream, or a whole answer: the two differ only in what a choice carries."""

    choices: list[Choice] = []
    usage: WireUsage | None = None
    error: Any = None


class ModelMeta(msgspec.Struct):
    """What llama.cpp says beside a model."""

    n_ctx: int | None = None


class Architecture(msgspec.Struct):
    """What llama.cpp says a model takes in."""

    input_modalities: list[str] = []


class ModelEntry(msgspec.Struct):
    """One line of `/v1/models`. `max_model_len` is vLLM's and SGLang's, `meta` llama.cpp's."""

    id: str
    max_model_len: int | None = None
    meta: ModelMeta | None = None
    architecture: Architecture | None = None


class ModelList(msgspec.Struct):
    """The answer of `/v1/models`."""

    data: list[ModelEntry] = []


def request_of(order: WorkOrder) -> tuple[str, bytes]:
    """Return path and body of the request that answers `order`: the caller's parameters as they are, and streamed.

    Embeddings come in one piece, and in base64 unless the caller wants them otherwise: that is a third of the size.
    """
    task = order.task
    path = _PATHS[task.kind]
    given = _parameters(task) if task.raw is None else task.raw
    if task.kind is Kind.EMBEDDING:
        wish = given.get("encoding_format") or "base64"
        return path, msgspec.json.encode({**given, "model": order.model, "encoding_format": wish})
    options = given.get("stream_options")
    usage = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    streamed = {"model": order.model, "stream": True, "stream_options": usage}
    return path, msgspec.json.encode({**given, **_older_names(given), **streamed})


def _parameters(task: Task) -> dict[str, Any]:
    if task.kind is not Kind.COMPLETION:
        said = task.messages if task.messages is not None else ({"role": "user", "content": task.prompt or ""},)
        return {**task.params, "messages": said}
    return {**task.params, "prompt": task.prompt or ""}


def _older_names(given: dict[str, Any]) -> dict[str, Any]:
    """Return what some engines know by an older name only."""
    most = given.get("max_completion_tokens")
    return {"max_tokens": most} if most is not None and given.get("max_tokens") is None else {}


def read(data: bytes, wanted: type[T]) -> T:
    """Return `data` as `wanted`. Raises ValueError or RecursionError if it is no such JSON.

    Bytes that are no UTF-8 and halves of surrogate pairs, which no JSON may hold, become U+FFFD.
    """
    try:
        return msgspec.json.decode(data, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = data.decode(errors="replace")
        return msgspec.json.decode(_ESCAPE.sub(_whole, text), type=wanted)


def _whole(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape.lastgroup == "half" else escape[0]


def message_in(data: bytes) -> str:
    """Return the sentence in an engine's error: `{"error": {"message": …}}` in any of its forms, or the bare text."""
    try:
        content = read(data, Any)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
    for name in ("error", "message", "detail"):
        if isinstance(content, dict) and name in content:
            content = content[name]
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def status_in(error: Any) -> int:
    """Return the HTTP status an error frame claims, or 500."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 500
