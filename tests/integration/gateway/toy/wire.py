"""The toy API as it is spelled on the wire."""

from __future__ import annotations

from msgspec import Struct


class Ask(Struct, frozen=True, kw_only=True):
    """A question for a model."""

    whom: str
    what: str
    tell: str | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """A question and its answer."""

    toy: str
    mood: str
    said: str | None = None


class Box(Struct, frozen=True, kw_only=True):
    """All questions."""

    toys: list[Answer]


class Oops(Struct, frozen=True, kw_only=True):
    """What went wrong."""

    oops: str
