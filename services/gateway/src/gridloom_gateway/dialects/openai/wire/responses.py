"""OpenAI's Responses API, as far as it needs no memory: every request brings the whole conversation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from gridloom_gateway.dialects.openai.wire.requests import Inference, Texts

Json = dict[str, Any]


class CreateResponse(Inference, frozen=True, kw_only=True):
    """A conversation to be continued. Nothing is stored, so `previous_response_id` and `conversation` are refused.

    What is not named here goes to the engine as it is.
    """

    input: Texts
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    text: Json | None = None
    reasoning: Json | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    top_logprobs: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    parallel_tool_calls: bool | None = None
    metadata: Json | None = None
    user: str | None = None


class OutputText(Struct, frozen=True, kw_only=True):
    """A text in a message."""

    text: str
    annotations: list[Any] = []
    logprobs: list[Json] = []
    type: Literal["output_text"] = "output_text"


class OutputMessage(Struct, frozen=True, kw_only=True):
    """A message of the model."""

    id: str
    status: str
    content: list[OutputText]
    role: Literal["assistant"] = "assistant"
    type: Literal["message"] = "message"


class FunctionCall(Struct, frozen=True, kw_only=True):
    """A call that the model asks for."""

    id: str
    status: str
    call_id: str
    name: str
    arguments: str
    type: Literal["function_call"] = "function_call"


class Count(Struct, frozen=True, kw_only=True):
    """Details of the tokens that went in, and of those that came out."""

    cached_tokens: int = 0


class Thought(Struct, frozen=True, kw_only=True):
    """How many of the tokens that came out nobody reads."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True, kw_only=True):
    """Tokens of one response."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: Count = Count()
    output_tokens_details: Thought = Thought()


class Trouble(Struct, frozen=True, kw_only=True):
    """Why there is no response."""

    code: str
    message: str


class Incomplete(Struct, frozen=True, kw_only=True):
    """Why a response is cut off."""

    reason: str


class Response(Struct, frozen=True, kw_only=True):
    """A response. What the request said is repeated; nothing is stored."""

    id: str
    created_at: int
    model: str
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    output: list[Any]
    usage: ResponseUsage | None = None
    error: Trouble | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: Json | None = None
    parallel_tool_calls: bool = True
    previous_response_id: None = None
    reasoning: Json | None = None
    store: Literal[False] = False
    temperature: float | None = None
    text: Json = field(default_factory=lambda: {"format": {"type": "text"}})
    tool_choice: str | Json = "auto"
    tools: list[Json] = []
    top_p: float | None = None
    truncation: Literal["disabled"] = "disabled"
    user: str | None = None
    object: Literal["response"] = "response"
