"""The input of a response, item by item, as the messages of a chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gridloom_domain.errors import Invalid

Json = dict[str, Any]

_ROLES: Final = {"developer": "system"}
"""What the templates of most open models do not know, by what they do."""
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})


def messages_of(instructions: str | None, said: str | list[Any]) -> list[Json]:
    """Return the messages. Raises `Invalid` for items that no chat has."""
    messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(said, str):
        return [*messages, {"role": "user", "content": said}]
    for place, item in enumerate(said):
        if not isinstance(item, dict):
            raise Invalid(f"input.{place}: Expected object", "input")
        kind = item.get("type", "message")
        add = ITEMS.get(kind)
        if add is None:
            raise Invalid(f"input.{place}: items of type {kind!r} cannot be used here", "input")
        add(messages, item)
    return messages


def _message(messages: list[Json], item: Json) -> None:
    role = str(item.get("role", "user"))
    messages.append({"role": _ROLES.get(role, role), "content": _content(item.get("content"))})


def _call(messages: list[Json], item: Json) -> None:
    """Calls that were made at once are one message."""
    function = {"name": item.get("name"), "arguments": item.get("arguments", "")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    last = messages[-1] if messages else {}
    if last.get("role") == "assistant":
        last.setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _result(messages: list[Json], item: Json) -> None:
    messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": _content(item.get("output"))})


def _thoughts(_messages: list[Json], _item: Json) -> None:
    """A model does not have to be told what it thought."""


ITEMS: Final[dict[str, Callable[[list[Json], Json], None]]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _result,
    "reasoning": _thoughts,
}


def _content(content: Any) -> Any:
    """Return contents as a chat has them: a text, or parts if there are others than texts."""
    if not isinstance(content, list):
        return content
    parts = [_part(part) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(str(part["text"]) for part in parts)
    return parts


def _part(part: Any) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXTS:
        return {"type": "text", "text": part.get("text", "")}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
    if kind == "input_image" and part.get("image_url"):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    raise Invalid(f"input: contents of type {kind!r} cannot be used here", "input")
