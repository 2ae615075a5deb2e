"""What the state of a batch follows from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gridloom_contract.batches import Batch, BatchError
from gridloom_contract.vocabulary import State
from gridloom_domain.batch import Progress, Status, failed, living, progress_of, status_of, whole_since
from gridloom_domain.job import TERMINAL

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
ERROR = BatchError(code="empty_file", message="the input file has no lines")

some_counts = st.dictionaries(st.sampled_from(sorted(set(State) - {State.UNKNOWN})), st.integers(0, 9))


def a_batch(**changes: Any) -> Batch:
    usual: dict[str, Any] = {"batch": "b", "account": "a", "key": "k", "dialect": "openai", "created_at": NOON}
    return Batch(**(usual | changes))


CHECKED = {"checked_at": NOON, "total": 3}
SUBMITTED = CHECKED | {"submitted_at": NOON}
LIVING = {State.SUCCEEDED: 1, State.RUNNING: 2}
OVER = {State.SUCCEEDED: 2, State.FAILED: 1}


@pytest.mark.parametrize(
    ("noted", "status"),
    [
        ({}, Status.VALIDATING),
        (CHECKED, Status.IN_PROGRESS),
        (CHECKED | {"counts": OVER}, Status.IN_PROGRESS),
        (SUBMITTED | {"counts": LIVING}, Status.IN_PROGRESS),
        (SUBMITTED | {"counts": OVER}, Status.IN_PROGRESS),
        (SUBMITTED | {"counts": OVER, "finalizing_at": NOON}, Status.FINALIZING),
        (SUBMITTED | {"counts": OVER, "ended_at": LATER}, Status.COMPLETED),
        (SUBMITTED | {"ended_at": LATER, "expires_at": LATER + timedelta(hours=1)}, Status.COMPLETED),
        (SUBMITTED | {"ended_at": LATER, "expires_at": LATER}, Status.EXPIRED),
        ({"ended_at": LATER, "errors": (ERROR,)}, Status.FAILED),
        ({"cancel_requested_at": NOON}, Status.CANCELLING),
        (SUBMITTED | {"counts": LIVING, "cancel_requested_at": NOON}, Status.CANCELLING),
        (SUBMITTED | {"cancel_requested_at": NOON, "ended_at": LATER, "expires_at": NOON}, Status.CANCELLED),
    ],
)
def test_a_batch_with_a_file_is_as_far_as_was_noted(noted: dict[str, Any], status: Status) -> None:
    assert status_of(a_batch(**noted)) is status


@pytest.mark.parametrize(
    ("counts", "progress"),
    [
        ({State.QUEUED: 1, State.HELD: 1}, Progress.PENDING),
        ({State.QUEUED: 2, State.SUCCEEDED: 0}, Progress.PENDING),
        ({State.QUEUED: 1, State.CLAIMED: 1}, Progress.PROCESSING),
        ({State.QUEUED: 1, State.CANCELED: 1}, Progress.PROCESSING),
        ({State.RUNNING: 2}, Progress.PROCESSING),
        ({State.SUCCEEDED: 1, State.FAILED: 1}, Progress.DONE),
        ({}, Progress.DONE),
    ],
)
def test_the_jobs_of_a_batch_are_as_far_as_they_are(counts: dict[State, int], progress: Progress) -> None:
    assert progress_of(a_batch(counts=counts, submitted_at=NOON)) is progress


@pytest.mark.parametrize(("counts", "progress"), [({}, Progress.PENDING), ({State.SUCCEEDED: 1}, Progress.PROCESSING)])
def test_a_batch_is_not_done_while_jobs_of_it_may_come(counts: dict[State, int], progress: Progress) -> None:
    assert progress_of(a_batch(counts=counts, total=2)) is progress


@pytest.mark.parametrize(
    ("missing", "minutes", "since"), [(0, 0, NOON), (-1, 99, NOON), (1, 9, None), (1, 10, NOON + timedelta(minutes=10))]
)
def test_a_batch_without_a_file_is_whole_once_all_jobs_are_there_or_none_can_come(
    missing: int, minutes: int, since: datetime | None
) -> None:
    assert whole_since(NOON, missing, NOON + timedelta(minutes=minutes)) == since


@given(some_counts)
def test_jobs_live_until_they_have_ended(counts: dict[State, int]) -> None:
    assert living(counts) == sum(counts.values()) - sum(counts.get(state, 0) for state in TERMINAL)
    is_done = progress_of(a_batch(counts=counts, submitted_at=NOON)) is Progress.DONE
    assert is_done == (living(counts) == 0)


@given(some_counts, st.integers(0, 9))
def test_lines_of_which_no_job_could_be_made_have_failed_in_the_end(counts: dict[State, int], refused: int) -> None:
    lost = counts.get(State.FAILED, 0) + counts.get(State.CANCELED, 0)
    total = sum(counts.values()) + refused
    assert failed(a_batch(counts=counts, total=total)) == lost
    with_file = a_batch(counts=counts, total=total, submitted_at=NOON, input_file="f")
    assert failed(with_file) == lost
    for end in ("finalizing_at", "ended_at"):
        assert failed(replace(with_file, **{end: LATER})) == lost + refused
    assert failed(a_batch(counts=OVER, total=3 + refused, submitted_at=NOON)) == 1 + refused
