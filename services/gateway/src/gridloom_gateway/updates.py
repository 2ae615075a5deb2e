"""What a reader of a job gets to know, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State


@dataclass(frozen=True, slots=True)
class Moved:
    """The job is in another state, or waits at another place."""

    state: State
    attempt: int
    reason: str | None = None
    queue_position: int | None = None
    estimated_start_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """New text of the attempt; the reader now has `sent` characters of it."""

    text: str
    attempt: int
    sent: int


@dataclass(frozen=True, slots=True)
class StartedOver:
    """Forget the text: it comes again from its beginning, as `attempt` has it."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is in a terminal state and its reader has `sent` characters; nothing follows."""

    job: Job
    sent: int


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing happened for a while."""


@dataclass(frozen=True, slots=True)
class Closing:
    """This gateway stops; another one continues where this one ends."""


Update = Moved | Said | StartedOver | Ended | Silent | Closing


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader has: the first `sent` characters of `attempt`."""

    attempt: int
    sent: int
