"""When a worker counts as gone, and when an order counts as lost. Seconds are monotonic and this replica's own."""

from __future__ import annotations

from enum import Enum

from gridloom_contract.vocabulary import State
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.enclosures import has_enclosures

UNSENT_SECONDS = 5.0
"""How long an order that JetStream does not take is sent again and again before it is taken back."""
LOST_ORDER_SECONDS = 3.0
"""How long an order may be missing from its worker's heartbeats before it is taken back."""


class Loss(Enum):
    """What became of a job that its worker does not list."""

    NONE = "none"
    UNDELIVERED = "undelivered"
    ABANDONED = "abandoned"


def is_silent(last_heard: float, at: float, lease_seconds: float) -> bool:
    """Whether a worker has been silent for a whole lease."""
    return at - last_heard > lease_seconds


def loss_of(state: State, *, same_session: bool, missing_seconds: float) -> Loss:
    """Judge a job that its living worker has not listed for `missing_seconds`.

    A running job that is not listed was dropped with the engine's work. A claimed one whose worker process has since
    been replaced may have been what killed it, so both count as failed attempts: a poison job must come to an end.
    A claimed one the same process never listed did not arrive.
    """
    if missing_seconds <= LOST_ORDER_SECONDS:
        return Loss.NONE
    return Loss.UNDELIVERED if state is State.CLAIMED and same_session else Loss.ABANDONED


def may_repeat(job: JobRecord, session: str | None) -> bool:
    """Whether the order of a job can be sent again as it was: its worker, still the same process, has not started it.

    What was enclosed with an order is not kept: such a job is taken back and gets new URLs.
    """
    return (
        job.state is State.CLAIMED
        and job.lease is not None
        and job.lease.session == session
        and not has_enclosures(job)
    )


def loss_of_unsent(*, is_repeatable: bool, missing_seconds: float) -> Loss:
    """Judge an order that no stream has taken for so long: JetStream may be about to come back."""
    return Loss.NONE if is_repeatable and missing_seconds <= UNSENT_SECONDS else Loss.UNDELIVERED
