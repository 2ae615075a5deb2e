"""Text from an engine made fit for JSON, UTF-8 and MongoDB, and a count of tokens where nobody counted."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Usage

_UNFIT = re.compile("[\0\ud800-\udfff]")
_CHARACTERS_PER_TOKEN = 4


def mended(text: str) -> str:
    """Return `text` with every NUL and lone surrogate replaced by U+FFFD, so as long as before."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def estimated_usage(task: Task, output: str) -> Usage:
    """Return token counts guessed from the length: four characters a token, marked as an estimate."""
    asked = task.prompt if task.messages is None else "".join(_text_of(message) for message in task.messages)
    return Usage(tokens_in=_tokens(asked or ""), tokens_out=_tokens(output), estimated=True)


def _tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()
