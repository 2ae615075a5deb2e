"""What a reader of a job gets to know, one after the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State

_ID = re.compile(r"(\d{1,12})-(\d{1,12})(?:-(\d{1,12}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moved:
    """The job is in another state, or waits at another place."""

    state: State
    attempt: int
    reason: str | None = None
    queue_position: int | None = None
    estimated_start_seconds: float | None = None


class Frame(NamedTuple):
    """A JSON object as the engine of a raw task streamed it, on one line, and the text in it, perhaps none.

    Who has read it has `sent` characters of such lines, and `content` characters of the text in them.
    """

    line: str
    text: str
    sent: int
    content: int


@dataclass(frozen=True, slots=True)
class Said:
    """New text of the attempt; the reader now has `sent` characters of it.

    Of a raw task it is the text in `frames`; `sent` and `content` are those of the last one.
    """

    text: str
    attempt: int
    sent: int
    frames: tuple[Frame, ...] = ()
    content: int = 0


@dataclass(frozen=True, slots=True)
class StartedOver:
    """Forget the text: it comes again from its beginning, as `attempt` has it."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is in a terminal state and its reader has `sent` characters, as in `Said`; nothing follows."""

    job: Job
    sent: int
    content: int = 0


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing happened for a while."""


@dataclass(frozen=True, slots=True)
class Closing:
    """This gateway stops; another one continues where this one ends."""


Update = Moved | Said | StartedOver | Ended | Silent | Closing


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader has: the first `sent` characters of `attempt`, and of a raw task the `content` in them."""

    attempt: int
    sent: int
    content: int = 0


def id_of(update: Said | StartedOver | Ended) -> str:
    """Return the id of an event, from which a reader resumes through any gateway."""
    if isinstance(update, StartedOver):
        return f"{update.attempt}-0"
    if isinstance(update, Said):
        return f"{update.attempt}-{update.sent}" + (f"-{update.content}" if update.frames else "")
    is_raw = update.job.task.raw is not None
    return f"{update.job.attempt}-{update.sent}" + (f"-{update.content}" if is_raw else "")


def id_behind(frame: Frame, attempt: int) -> str:
    """Return the id of an event that is one frame: a reader that is cut off behind it has this one and none more."""
    return f"{attempt}-{frame.sent}-{frame.content}"


def position_in(event_id: str | None) -> Position | None:
    """Return what a reader that reconnects has; None if it has nothing or says something else."""
    match = _ID.fullmatch(event_id or "")
    return Position(*(int(number or 0) for number in match.groups())) if match else None
