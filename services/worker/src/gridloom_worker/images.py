"""Images in a task: the OpenAI content parts that engines understand, made from a job's files."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.errors import Invalid

Message = dict[str, Any]
_USER = "user"


@dataclass(frozen=True)
class Image:
    """One file of a job."""

    content_type: str
    content: bytes


def with_images(task: Task, images: Sequence[Image]) -> Task:
    """Return the task with the images at the end of what its user said last. Raises `Invalid` if it is no chat."""
    if task.kind is not Kind.CHAT:
        raise Invalid(f"a {task.kind} takes no images")
    if task.raw is not None:
        told = task.raw.get("messages")
        messages = _showing(told if isinstance(told, list) else [], images)
        return msgspec.structs.replace(task, raw={**task.raw, "messages": messages})
    messages = _showing(task.messages if task.messages is not None else (_said(task.prompt or ""),), images)
    return msgspec.structs.replace(task, prompt=None, messages=messages)


def _showing(messages: Sequence[Message], images: Sequence[Image]) -> tuple[Message, ...]:
    place = _last_of_user(messages)
    if place is None:
        messages, place = (*messages, _said("")), len(messages)
    seen = {**messages[place], "content": [*_parts_of(messages[place]), *map(_part_of, images)]}
    return (*messages[:place], seen, *messages[place + 1 :])


def _said(text: str) -> Message:
    return {"role": _USER, "content": text}


def _last_of_user(messages: Sequence[Message]) -> int | None:
    return next((at for at in reversed(range(len(messages))) if _is_of_user(messages[at])), None)


def _is_of_user(message: Any) -> bool:
    """A raw task's messages are whatever its caller sent."""
    return isinstance(message, dict) and message.get("role") == _USER


def _parts_of(message: Message) -> Iterable[Any]:
    content = message.get("content")
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _part_of(image: Image) -> Message:
    data = b2a_base64(image.content, newline=False).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.content_type};base64,{data}"}}
