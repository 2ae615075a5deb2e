"""What the state of a batch follows from: what was noted of it, and the states of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gridloom_contract.batches import Batch
from gridloom_contract.vocabulary import State
from gridloom_domain.job import is_in_hand, is_terminal

MOST_LINES: Final = 50_000
MOST_REQUESTS: Final = 256
"""How many jobs may come in one request, without a file."""
LINE_PRIORITY: Final = -1
"""Lines wait behind all other jobs, their own account's too: nobody's chat stands behind fifty thousand of them."""
_HANDED_IN_WITHIN: Final = timedelta(minutes=10)
"""No gateway hands in the jobs of one request for so long: what is not there by then will not come."""


class Status(StrEnum):
    """How far a batch with a file is: OpenAI's words (API.md §3.3), which say more than any other API's."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Progress(StrEnum):
    """How far the jobs of a batch are."""

    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"


def status_of(batch: Batch) -> Status:
    """Return how far a batch with a file is."""
    if batch.ended_at is not None:
        return _ended(batch)
    if batch.cancel_requested_at is not None:
        return Status.CANCELLING
    if batch.checked_at is None:
        return Status.VALIDATING
    return Status.IN_PROGRESS if batch.finalizing_at is None else Status.FINALIZING


def progress_of(batch: Batch) -> Progress:
    """Return how far the jobs are: done once all are there and have ended, pending while none was begun."""
    if batch.submitted_at is not None and living(batch.counts) == 0:
        return Progress.DONE
    is_begun = any(count and (is_in_hand(state) or is_terminal(state)) for state, count in batch.counts.items())
    return Progress.PROCESSING if is_begun else Progress.PENDING


def whole_since(created_at: datetime, missing: int, now: datetime) -> datetime | None:
    """Return since when no more jobs of a batch without a file can come; None while they may.

    Nobody notes it: one sees that none is `missing`, or that its gateway must have died.
    """
    if missing <= 0:
        return created_at
    end = created_at + _HANDED_IN_WITHIN
    return end if now >= end else None


def living(counts: Mapping[State, int]) -> int:
    """Return how many jobs have not ended."""
    return sum(count for state, count in counts.items() if not is_terminal(state))


def failed(batch: Batch) -> int:
    """Return how many lines came to nothing: those whose jobs did, and those of which none could be made.

    The latter are told at the end: until then nobody knows of lines without a job whether they will have one.
    """
    counts = batch.counts
    lost = counts.get(State.FAILED, 0) + counts.get(State.CANCELED, 0)
    is_whole = batch.input_file is None and batch.submitted_at is not None and living(counts) == 0
    if batch.ended_at is None and batch.finalizing_at is None and not is_whole:
        return lost
    return lost + max(0, (batch.total or 0) - sum(counts.values()))


def _ended(batch: Batch) -> Status:
    if batch.errors:
        return Status.FAILED
    if batch.cancel_requested_at is not None:
        return Status.CANCELLED
    if batch.expires_at is not None and batch.ended_at is not None and batch.ended_at >= batch.expires_at:
        return Status.EXPIRED
    return Status.COMPLETED
