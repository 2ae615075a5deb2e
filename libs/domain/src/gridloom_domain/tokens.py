"""Tokens where nobody counted them: texts in a task, and a guess from their length."""

from __future__ import annotations

import math
from typing import Any

from gridloom_contract.jobs import Task

_CHARACTERS_PER_TOKEN = 4


def guessed_tokens(characters: int) -> int:
    """Return how many tokens a text of this length usually is; of a text that is there at least one."""
    return math.ceil(characters / _CHARACTERS_PER_TOKEN)


def text_characters(task: Task) -> int:
    """Return the length of the texts in a task; what is no text, like an image in a message, does not count."""
    if task.messages is None:
        return len(task.prompt or "")
    return sum(_characters(message.get("content")) for message in task.messages)


def _characters(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list):
        return sum(_characters(part.get("text")) for part in content if isinstance(part, dict))
    return 0
