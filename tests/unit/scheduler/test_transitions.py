"""Transitions: the fields each sets, the facts it states, and that all of them are legal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from gridloom_contract.events import JobAssigned, JobFinished, JobHeld
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.vocabulary import State, Usage
from gridloom_domain.budgets import HeldUntil
from gridloom_domain.job import Reason, may
from gridloom_scheduler.record import JobRecord, job_of, to_document
from gridloom_scheduler.rules import holds, transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.transitions import Answer, Placement, Setback
from unit.scheduler.records import LEASE, NOW, WORKER, a_claimed_record, a_moment, a_record, a_running_record

LATER = NOW + timedelta(seconds=2)
FAULT = Fault(code=FaultCode.UPSTREAM, message="out of memory", retryable=True)
PLACEMENT = Placement(WORKER, "llama:8b", "exact model")


def names(change: Change) -> list[str]:
    """The facts of a change, by class."""
    return [type(fact).__name__ for fact in change.facts]


CHANGES: dict[str, Change] = {
    "assigned": transitions.assigned(a_record(), PLACEMENT, LEASE, a_moment(LATER)),
    "started": transitions.started(a_claimed_record(), a_moment()),
    "succeeded": transitions.succeeded(a_running_record(), Answer("Hello!"), a_moment()),
    "failed": transitions.failed(a_running_record(), FAULT, a_moment()),
    "requeued": transitions.requeued(a_running_record(), Setback(Reason.LEASE_LOST), a_moment()),
    "canceled": transitions.canceled(a_running_record(), "user", a_moment()),
    "canceled while held": transitions.canceled(a_record(state=State.HELD), "deadline", a_moment()),
    "released": holds.released(a_record(state=State.HELD, reason="backoff"), a_moment()),
    "not claimed": transitions.no_capacity(a_record(capacity_wait_seconds=60.0, capacity_at=NOW), a_moment()),
    "not started": transitions.no_capacity(a_claimed_record(capacity_wait_seconds=60.0, capacity_at=NOW), a_moment()),
    "not claimed while held": transitions.no_capacity(
        a_record(state=State.HELD, reason="quota", capacity_wait_seconds=60.0, capacity_at=NOW), a_moment()
    ),
    "retried": transitions.retried(a_record(state=State.FAILED), 7.0, a_moment()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_transition_is_legal_and_numbers_its_facts(change: Change) -> None:
    assert may(change.before.state, change.after.state)
    assert [fact.seq for fact in change.facts] == [change.before.seq + 1 + at for at in range(len(change.facts))]
    assert change.after.seq == change.facts[-1].seq
    assert len({fact.id for fact in change.facts}) == 1


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_job_survives_its_document(change: Change) -> None:
    assert job_of(to_document(change.after)) == change.after


def test_a_claim_is_a_new_attempt_with_a_lease_and_a_time_limit() -> None:
    change = transitions.assigned(a_record(timeout_seconds=30.0, attempt=1), PLACEMENT, LEASE, a_moment(LATER))

    job = change.after
    assert (job.attempt, job.lease, job.worker, job.claimed_at) == (2, LEASE, WORKER, LATER)
    assert job.timeout_at == LATER + timedelta(seconds=30)
    [fact] = change.facts
    assert isinstance(fact, JobAssigned)
    assert (fact.attempt, fact.waited_ms, fact.why) == (2, 2000, "exact model")


def test_a_result_that_overtakes_its_start_passes_through_running() -> None:
    change = transitions.succeeded(a_claimed_record(), Answer("Hello!"), a_moment(LATER))

    assert names(change) == ["JobStarted", "JobFinished"]
    assert change.after.started_at == LATER


@pytest.mark.parametrize(
    ("change", "started_at"),
    [
        (transitions.succeeded(a_running_record(), Answer("Hello!"), a_moment(LATER)), NOW),
        (transitions.succeeded(a_claimed_record(), Answer("Hello!"), a_moment(LATER)), LATER),
        (transitions.failed(a_running_record(), FAULT, a_moment(LATER)), NOW),
        (transitions.failed(a_claimed_record(), FAULT, a_moment(LATER)), None),
        (transitions.canceled(a_running_record(), "user", a_moment(LATER)), NOW),
        (transitions.canceled(a_record(), "user", a_moment(LATER)), None),
    ],
    ids=["succeeded", "overtook its start", "failed", "failed unstarted", "canceled", "canceled waiting"],
)
def test_the_ending_says_when_the_job_started(change: Change, started_at: datetime | None) -> None:
    finished = change.facts[-1]
    assert isinstance(finished, JobFinished)
    assert finished.started_at == started_at


def test_an_ending_leaves_nothing_that_a_sweep_would_find() -> None:
    for change in (CHANGES["succeeded"], CHANGES["failed"], CHANGES["canceled"]):
        job = change.after
        assert (job.lease, job.timeout_at, job.expires_at, job.held_until) == (None, None, None, None)
        assert job.ended_at == NOW


def test_an_ending_tells_accounting_what_it_needs_and_never_the_text() -> None:
    usage = Usage(tokens_in=3, tokens_out=5)
    change = transitions.succeeded(a_running_record(tag="t"), Answer("secret text", usage=usage), a_moment())

    fact = change.facts[-1]
    assert isinstance(fact, JobFinished)
    assert (fact.state, fact.usage, fact.tag, fact.worker) == (State.SUCCEEDED, usage, "t", WORKER)
    assert "secret text" not in str(fact)


def test_a_setback_with_a_pause_holds_the_job() -> None:
    setback = Setback(Reason.UPSTREAM_ERROR, fault=FAULT, pause_seconds=4.0)

    change = transitions.requeued(a_running_record(failures=1), setback, a_moment())

    assert names(change) == ["JobRequeued", "JobHeld"]
    job = change.after
    assert (job.state, job.reason, job.held_until) == (State.HELD, "backoff", NOW + timedelta(seconds=4))
    assert (job.failures, job.excluded, job.lease) == (2, (WORKER,), None)
    assert isinstance(change.facts[1], JobHeld)


def test_a_setback_that_does_not_count_blames_nobody() -> None:
    setback = Setback(Reason.UNDELIVERED, counts=False, avoids_worker=False)

    job = transitions.requeued(a_claimed_record(), setback, a_moment()).after

    assert (job.state, job.failures, job.excluded, job.attempt) == (State.QUEUED, 0, (), 1)


def test_a_retry_forgets_how_it_went_and_runs_its_deadline_anew() -> None:
    ended = a_record(
        state=State.FAILED,
        failures=3,
        excluded=(WORKER,),
        error=FAULT,
        output="half",
        ended_at=NOW,
        deadline_at=NOW + timedelta(seconds=60),
        attempt=3,
    )

    job = transitions.retried(ended, 7.0, a_moment(NOW + timedelta(hours=1))).after

    assert (job.failures, job.excluded, job.error, job.output, job.ended_at) == (0, (), None, None, None)
    assert (job.attempt, job.fair) == (3, 7.0)
    assert job.deadline_at == job.expires_at == NOW + timedelta(hours=1, seconds=60)


@pytest.mark.parametrize("waiting", [{}, {"state": State.HELD, "reason": "blob"}])
def test_a_job_that_nobody_started_says_how_long_it_waited(waiting: dict[str, Any]) -> None:
    job = transitions.no_capacity(a_record(capacity_wait_seconds=60.0, capacity_at=NOW, **waiting), a_moment()).after
    assert job.error is not None
    assert (job.error.code, job.reason, job.capacity_at) == (FaultCode.NO_CAPACITY, Reason.NO_CAPACITY, None)
    assert "no worker was free for the job within 60 seconds" in job.error.message


def test_a_job_for_which_its_quota_had_no_room_says_when_there_is_some() -> None:
    held = a_record(
        capacity_wait_seconds=60.0,
        capacity_at=NOW,
        state=State.HELD,
        reason=Reason.QUOTA,
        held_until=NOW + timedelta(hours=3),
    )
    job = transitions.no_capacity(held, a_moment(NOW)).after
    assert job.error is not None
    assert (job.error.code, job.reason, job.held_until) == (FaultCode.RATE_LIMITED, Reason.QUOTA, None)
    assert job.error.retry_after_seconds == 3 * 3600
    assert f"before {NOW + timedelta(hours=3):%Y-%m-%d %H:%M} UTC" in job.error.message


def test_a_job_held_for_a_quota_waits_for_capacity_only_once_it_is_let_go() -> None:
    waiting = a_record(capacity_wait_seconds=60.0, capacity_at=NOW)

    held = holds.over_quota(waiting, HeldUntil(LATER), a_moment()).after
    assert held.capacity_at is None
    assert holds.thawed(held, 7.0, a_moment(LATER)).after.capacity_at == LATER + timedelta(seconds=60)


def test_a_call_that_somebody_waits_for_goes_on_waiting_while_its_quota_has_no_room() -> None:
    waiting = a_record(capacity_wait_seconds=60.0, capacity_at=NOW, sync=True)

    held = holds.over_quota(waiting, HeldUntil(LATER), a_moment()).after
    assert held.capacity_at == NOW
    assert holds.thawed(held, 7.0, a_moment(LATER)).after.capacity_at == NOW


@pytest.mark.parametrize(
    ("spent_until", "capacity_at"),
    [(None, LATER), (LATER, LATER), (LATER + timedelta(seconds=1), NOW)],
    ids=["it may come back", "there is some in time", "there is none in time"],
)
def test_a_call_waits_for_its_quota_only_if_that_may_help(spent_until: datetime | None, capacity_at: datetime) -> None:
    waiting = a_record(capacity_wait_seconds=60.0, capacity_at=LATER, sync=True)
    held = holds.over_quota(waiting, HeldUntil(LATER + timedelta(hours=1), spent_until), a_moment(NOW)).after
    assert held.capacity_at == capacity_at


def test_who_starts_a_job_ends_its_wait_and_a_retry_begins_it_anew() -> None:
    waiting = a_record(capacity_wait_seconds=60.0, capacity_at=LATER)
    claimed = transitions.assigned(waiting, PLACEMENT, LEASE, a_moment()).after
    assert claimed.capacity_at == LATER
    assert transitions.requeued(claimed, Setback(Reason.UNDELIVERED), a_moment()).after.capacity_at == LATER
    started = transitions.started(claimed, a_moment()).after
    assert started.capacity_at is None
    failed = transitions.failed(started, FAULT, a_moment()).after
    assert transitions.retried(failed, 7.0, a_moment(LATER)).after.capacity_at == LATER + timedelta(seconds=60)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_job_that_may_wait_for_ever_never_has_a_wait_written_down(change: Change) -> None:
    if change.before.capacity_wait_seconds is None:
        assert "capacity_at" not in change.values


def test_every_fault_has_a_reason_that_may_end_an_attempt() -> None:
    for code in FaultCode:
        reason = transitions.reason_of(Fault(code=code, message=""))
        assert isinstance(reason, Reason)


def test_a_change_that_removes_a_field_puts_its_default_back() -> None:
    job: JobRecord = CHANGES["released"].after
    values: dict[str, Any] = dict(CHANGES["released"].values)

    assert values["reason"] is None
    assert job.reason is None
