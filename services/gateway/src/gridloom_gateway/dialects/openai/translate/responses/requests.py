"""A request for a response becomes one of a chat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from gridloom_contract.vocabulary import Kind
from gridloom_domain.errors import Invalid
from gridloom_gateway.dialects.openai.translate.requests import CONSUMED, Json, Manner, Wish, kept_of, manner_of
from gridloom_gateway.dialects.openai.translate.responses.conversation import messages_of
from gridloom_gateway.dialects.openai.wire.responses import CreateResponse

RESPONSE: Final = "response"
"""Under this name a job that is answered later keeps what its response says of its request."""
_RENAMED: Final = frozenset(
    {
        *("input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "top_logprobs"),
        *("previous_response_id", "conversation", "store", "include", "truncation", "background", "prompt_cache_key"),
        *("metadata", "client_metadata"),
    }
)
"""What a chat calls something else, or knows nothing of."""
_REPEATED: Final = (
    *("instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "temperature", "text"),
    *("tool_choice", "tools", "top_p", "user"),
)
"""What a response says of its request."""


def to_wish(told: CreateResponse, body: Json) -> Wish:
    """Return the wish of a request. Raises `Invalid` for what would need a memory or an engine of OpenAI's."""
    for name in ("previous_response_id", "conversation"):
        if getattr(told, name) is not None:
            raise Invalid(f"{name}: responses are not stored here; send the whole conversation as input", name)
    same = {name: value for name, value in body.items() if name not in CONSUMED | _RENAMED}
    renamed = {name: value for make in _MADE for name, value in make(told).items()}
    manner = manner_of(told)
    repeated = repeated_of(told)
    return Wish(
        kind=Kind.CHAT,
        model=told.model,
        raw={**same, **renamed, "messages": messages_of(told.instructions, told.input)},
        manner=manner,
        kept=kept_of(told) | ({RESPONSE: repeated} if manner is Manner.LATER else {}),
        repeated=repeated,
    )


def repeated_of(told: CreateResponse) -> Json:
    """Return what the response says of its request."""
    values = {name: getattr(told, name) for name in _REPEATED}
    return {name: value for name, value in values.items() if value is not None}


def _limit(told: CreateResponse) -> Json:
    return {} if told.max_output_tokens is None else {"max_completion_tokens": told.max_output_tokens}


def _tools(told: CreateResponse) -> Json:
    if not told.tools:
        return {}
    return {"tools": [_tool(place, tool) for place, tool in enumerate(told.tools)]}


def _tool(place: int, tool: Json) -> Json:
    if tool.get("type") != "function":
        raise Invalid(f"tools.{place}.type: only functions can be called here, not {tool.get('type')!r}", "tools")
    return {"type": "function", "function": _without(tool, ("type",))}


def _choice(told: CreateResponse) -> Json:
    choice = told.tool_choice
    if choice is None:
        return {}
    if isinstance(choice, dict) and choice.get("type") == "function":
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    return {"tool_choice": choice}


def _format(told: CreateResponse) -> Json:
    text = told.text or {}
    wish = text.get("format")
    verbosity = {"verbosity": text["verbosity"]} if text.get("verbosity") else {}
    if not isinstance(wish, dict) or wish.get("type") == "text":
        return verbosity
    if wish.get("type") == "json_schema":
        wish = {"type": "json_schema", "json_schema": _without(wish, ("type",))}
    return verbosity | {"response_format": wish}


def _effort(told: CreateResponse) -> Json:
    effort = (told.reasoning or {}).get("effort")
    return {"reasoning_effort": effort} if effort else {}


def _logprobs(told: CreateResponse) -> Json:
    return {"logprobs": True, "top_logprobs": told.top_logprobs} if told.top_logprobs else {}


_MADE: Final[tuple[Callable[[CreateResponse], Json], ...]] = (_limit, _tools, _choice, _format, _effort, _logprobs)


def _without(named: dict[str, Any], names: Iterable[str]) -> Json:
    left_out = frozenset(names)
    return {name: value for name, value in named.items() if name not in left_out and value is not None}
