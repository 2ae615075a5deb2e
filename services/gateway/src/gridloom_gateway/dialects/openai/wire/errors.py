"""Errors: OpenAI's shape and that of the rest of inference.club, both in one body (API.md §1.5, contradiction a)."""

from __future__ import annotations

from msgspec import Struct


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong: a sentence, two words for programs, and the field it concerns."""

    message: str
    type: str
    code: str | None
    param: str | None


class Error(Struct, frozen=True, kw_only=True):
    """`detail` is the sentence once more, where clients of the other shape look for it."""

    error: Problem
    detail: str
