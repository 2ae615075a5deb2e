"""Tokens where nobody counted them: texts in a task, and a guess from their length."""

from __future__ import annotations

import math
from typing import Any

from gridloom_contract.jobs import Task
from gridloom_domain.completions import Json, body_in, choices_of

_CHARACTERS_PER_TOKEN = 4
_SAID = frozenset({"content", "text", "reasoning", "reasoning_content", "refusal"})


def guessed_tokens(characters: int) -> int:
    """Return how many tokens a text of this length usually is; of a text that is there at least one."""
    return math.ceil(characters / _CHARACTERS_PER_TOKEN)


def text_characters(task: Task) -> int:
    """Return the length of the texts in a task; what is no text, like an image in a message, does not count."""
    if task.raw is not None:
        return _raw_characters(task.raw)
    if task.messages is None:
        return sum(map(len, (task.prompt or "", *task.inputs)))
    return sum(_characters(message.get("content")) for message in task.messages)


def said_characters(task: Task, output: str) -> int:
    """Return the length of what is said in the output of a task; that of a raw one is a body, of which most may be
    about the answer and not in it.
    """
    return len(output) if task.raw is None else body_characters(body_in(output) or {})


def body_characters(body: Json) -> int:
    """Return the length of what is said in the body of an answer, in all its choices."""
    return sum(_said(choice.get("message", choice)) for choice in choices_of(body))


def _raw_characters(body: dict[str, Any]) -> int:
    messages = body.get("messages")
    said = [part.get("content") for part in messages if isinstance(part, dict)] if isinstance(messages, list) else []
    return sum(map(_characters, said)) + _listed(body.get("prompt")) + _listed(body.get("input"))


def _listed(texts: Any) -> int:
    """A prompt may be one of several; those in tokens are no text."""
    return sum(map(_characters, texts)) if isinstance(texts, list) else _characters(texts)


def _said(message: Any) -> int:
    """All texts of a message are made of tokens: its content, thoughts, and what it calls tools with."""
    if not isinstance(message, dict):
        return 0
    texts = [value for name, value in message.items() if name in _SAID]
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    arguments = [function.get("arguments") for function in functions if isinstance(function, dict)]
    return sum(map(_characters, (*texts, *arguments)))


def _characters(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list):
        return sum(_characters(part.get("text")) for part in content if isinstance(part, dict))
    return 0
