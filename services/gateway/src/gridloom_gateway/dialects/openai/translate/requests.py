"""Requests become submissions: what the gateway acts on is taken out, all the rest goes to the engine untouched."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from gridloom_contract.jobs import Submission, Task
from gridloom_contract.vocabulary import Kind
from gridloom_gateway.dialects.openai.wire import requests
from gridloom_gateway.people import Caller

DIALECT: Final = "openai"
CONSUMED: Final = frozenset({"model", "stream", "stream_options", "async", "visibility", "collection"})

Json = dict[str, Any]


class Manner(Enum):
    """How the answer is given."""

    LATER = "later"
    WHOLE = "whole"
    STREAMED = "streamed"


@dataclass(frozen=True)
class Wish:
    """What a request asks the grid for, and how it wants the answer.

    `kept` comes back with the job; `repeated` is what the answer says of its request.
    """

    kind: Kind
    model: str
    raw: Json
    manner: Manner = Manner.WHOLE
    wants_usage: bool = False
    kept: Json = field(default_factory=dict)
    repeated: Json = field(default_factory=dict)


def to_wish(kind: Kind, told: requests.Inference, body: Json) -> Wish:
    """Return the wish of a request; `told` is what the gateway reads of its `body`."""
    options = told.stream_options
    return Wish(
        kind=kind,
        model=told.model,
        raw=COMPLETED[kind]({name: value for name, value in body.items() if name not in CONSUMED}),
        manner=manner_of(told) if kind in SPOKEN else in_one_piece(told),
        wants_usage=bool(options and options.include_usage),
        kept=kept_of(told),
    )


def manner_of(told: requests.Inference) -> Manner:
    """Return how the answer is wanted. Later and streamed: nobody is there to read (API.md §1.5, contradiction f)."""
    if told.is_async:
        return Manner.LATER
    return Manner.STREAMED if told.stream else Manner.WHOLE


def in_one_piece(told: requests.Inference) -> Manner:
    """Return how an answer is given that nobody says word by word: `stream` means nothing to it."""
    return Manner.LATER if told.is_async else Manner.WHOLE


def kept_of(told: requests.Inference) -> Json:
    """Return what the job keeps for its owner."""
    kept = {"visibility": told.visibility, "collection": told.collection}
    return {name: value for name, value in kept.items() if value is not None}


def to_submission(
    wish: Wish, caller: Caller, job: str, traceparent: str | None, capacity_wait_seconds: float
) -> Submission:
    """Return what the core takes in: a job to wait for is served first, soon or never, and is in no list."""
    waits = wish.manner is not Manner.LATER
    return Submission(
        job=job,
        account=caller.account,
        key=caller.kid,
        dialect=DIALECT,
        model=wish.model,
        task=Task(kind=wish.kind, raw=wish.raw),
        priority=caller.priority_boost,
        sync=waits,
        needs_provider=waits,
        listed=not waits,
        capacity_wait_seconds=capacity_wait_seconds if waits else None,
        echo=wish.kept,
        traceparent=traceparent,
    )


def _as_told(raw: Json) -> Json:
    return raw


def _with_format(raw: Json) -> Json:
    """Say what OpenAI's API means by saying nothing: numbers."""
    return raw | {"encoding_format": raw.get("encoding_format") or "float"}


SPOKEN: Final = frozenset({Kind.CHAT, Kind.COMPLETION})
"""What is answered word by word."""
COMPLETED: Final = {Kind.CHAT: _as_told, Kind.COMPLETION: _as_told, Kind.EMBEDDING: _with_format}
