"""Files of jobs: how long a job waits for them, beside what else it waits for, and what is left when all is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gridloom_contract.blobs import AttachBlob, HoldJob
from gridloom_contract.events import JobAccepted
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.vocabulary import State
from gridloom_scheduler.record import AttachedFile, JobRecord
from gridloom_scheduler.rules import files, holds, orders, transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.files import FileTerms, held_from_start
from gridloom_testing.builders import a_submission
from unit.scheduler.records import NOW, a_moment, a_record

LATER = NOW + timedelta(minutes=15)
TERMS = FileTerms(sure_seconds=900.0, perhaps_seconds=2.0)
PICTURE = AttachedFile(ref="b1", content_type="image/png")


def a_hold(**changes: Any) -> HoldJob:
    return HoldJob(**{"job": "j", "account": "acc1", "reason": "blob", "until": LATER, **changes})


def an_attachment(**changes: Any) -> AttachBlob:
    return AttachBlob(**{"job": "j", "account": "acc1", "ref": "b1", "content_type": "image/png", **changes})


def a_held_record(**changes: Any) -> JobRecord:
    usual: dict[str, Any] = {"state": State.HELD, "reason": "blob", "held_until": LATER, "files_until": LATER}
    return a_record(**(usual | changes))


def facts_of(change: Change | None) -> list[str]:
    return [] if change is None else [type(fact).__name__ for fact in change.facts]


def after(change: Change | None) -> JobRecord:
    assert change is not None
    return change.after


def fault_code(error: pytest.ExceptionInfo[FaultError]) -> FaultCode:
    return error.value.fault.code


def test_a_queued_job_waits_for_a_file() -> None:
    job = after(files.hold(a_record(), a_hold(), a_moment()))

    assert (job.state, job.reason, job.held_until, job.files_until) == (State.HELD, "blob", LATER, LATER)


def test_a_job_that_waits_long_enough_goes_on_waiting() -> None:
    assert files.hold(a_held_record(), a_hold(until=NOW), a_moment()) is None
    assert files.hold(a_held_record(), a_hold(), a_moment()) is None


def test_a_second_file_makes_the_job_wait_longer() -> None:
    longer = LATER + timedelta(minutes=1)

    assert after(files.hold(a_held_record(), a_hold(until=longer), a_moment())).held_until == longer


def test_a_job_held_for_its_quota_waits_for_both() -> None:
    held = a_record(state=State.HELD, reason="quota", held_until=NOW + timedelta(days=1))

    both = after(files.hold(held, a_hold(), a_moment()))
    freed = after(holds.released(both, a_moment()))

    assert (both.reason, both.held_until) == ("quota", held.held_until)
    assert (freed.state, freed.reason, freed.held_until) == (State.HELD, "blob", LATER)


def test_a_job_whose_files_came_while_its_quota_was_used_up_goes_when_that_is_over() -> None:
    held = a_record(state=State.HELD, reason="quota", held_until=None, files_until=LATER)

    change = files.attach(held, an_attachment(), a_moment())
    freed = after(holds.released(after(change), a_moment()))

    assert facts_of(change) == ["JobAttached", "JobHeld"]
    assert (after(change).state, after(change).reason) == (State.HELD, "quota")
    assert (freed.state, freed.attachments) == (State.QUEUED, (PICTURE,))


@pytest.mark.parametrize("state", [State.CLAIMED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELED])
def test_a_job_that_does_not_wait_gets_no_file(state: State) -> None:
    with pytest.raises(FaultError) as on_hold:
        files.hold(a_record(state=state), a_hold(), a_moment())
    with pytest.raises(FaultError) as on_attach:
        files.attach(a_record(state=state), an_attachment(), a_moment())

    assert fault_code(on_hold) is fault_code(on_attach) is FaultCode.CONFLICT


def test_a_job_is_held_for_files_only() -> None:
    with pytest.raises(FaultError) as error:
        files.hold(a_record(), a_hold(reason="gate"), a_moment())
    assert fault_code(error) is FaultCode.INVALID


def test_the_last_file_lets_the_job_go() -> None:
    change = files.attach(a_held_record(), an_attachment(), a_moment())

    job = after(change)
    assert facts_of(change) == ["JobAttached", "JobReleased"]
    assert (job.state, job.reason, job.held_until, job.files_until) == (State.QUEUED, None, None, None)
    assert job.attachments == (PICTURE,)


def test_a_file_that_is_not_the_last_leaves_the_job_waiting() -> None:
    job = after(files.attach(a_held_record(), an_attachment(release=False), a_moment()))

    assert (job.state, job.attachments, job.files_until) == (State.HELD, (PICTURE,), LATER)


def test_a_job_that_was_announced_with_two_files_waits_for_both() -> None:
    one = after(files.attach(a_held_record(files=2), an_attachment(), a_moment()))
    two = after(files.attach(one, an_attachment(ref="b2"), a_moment()))

    assert (one.state, two.state) == (State.HELD, State.QUEUED)
    assert [file.ref for file in two.attachments] == ["b1", "b2"]


def test_the_same_file_again_changes_nothing_but_may_let_the_job_go() -> None:
    waiting = a_held_record(attachments=(PICTURE,))
    running = a_record(state=State.RUNNING, attachments=(PICTURE,))

    assert files.attach(waiting, an_attachment(release=False), a_moment()) is None
    assert files.attach(running, an_attachment(), a_moment()) is None
    assert facts_of(files.attach(waiting, an_attachment(), a_moment())) == ["JobReleased"]


def test_a_file_that_comes_just_before_the_job_is_claimed_is_taken() -> None:
    job = after(files.attach(a_record(), an_attachment(), a_moment()))

    assert (job.state, job.attachments) == (State.QUEUED, (PICTURE,))


def test_a_canceled_job_waits_for_nothing() -> None:
    assert after(transitions.canceled(a_held_record(), "user", a_moment())).files_until is None


def test_what_a_submission_says_of_files_is_how_long_its_job_waits() -> None:
    sure, perhaps = a_submission(files=2), a_submission(may_get_files=True)

    assert TERMS.wait_seconds(sure, takes_images=False) == 900.0
    assert TERMS.wait_seconds(perhaps, takes_images=True) == 2.0
    assert TERMS.wait_seconds(perhaps, takes_images=False) == 0.0
    assert TERMS.wait_seconds(a_submission(), takes_images=True) == 0.0


@pytest.mark.parametrize("count", [-1, 65])
def test_no_job_gets_impossibly_many_files(count: int) -> None:
    with pytest.raises(FaultError) as error:
        TERMS.wait_seconds(a_submission(files=count), takes_images=True)
    assert (fault_code(error), error.value.fault.field) == (FaultCode.INVALID, "files")


def test_a_job_that_waits_from_the_start_says_so_in_its_first_facts() -> None:
    submitted = a_moment()
    new = a_record(events=(JobAccepted(job="j", account="acc1", seq=1, at=NOW, id="i", model="m"),))

    job = held_from_start(new, 1, 900.0, submitted)

    accepted, held = job.events
    assert (job.state, job.seq, job.held_until) == (State.HELD, 2, LATER)
    assert (accepted.seq, held.seq) == (1, 2)
    assert getattr(accepted, "state", None) is State.HELD


def test_nothing_is_left_of_the_data_of_a_purged_job() -> None:
    ended = a_record(
        state=State.SUCCEEDED, ended_at=NOW, output="secret", echo='{"input":1}', task_ref="t1", attachments=(PICTURE,)
    )

    job = files.purged(ended, a_moment()).after

    assert (job.task, job.echo, job.output, job.task_ref, job.attachments) == ("{}", "{}", None, None, ())
    assert job.data_removed


def test_live_jobs_and_those_that_ended_again_keep_their_data() -> None:
    ended = a_record(state=State.FAILED, ended_at=NOW)

    assert files.keeps_data(a_record(), None)
    assert files.keeps_data(ended, NOW - timedelta(seconds=1))
    assert not files.keeps_data(ended, NOW)
    assert not files.keeps_data(ended, None)


def test_a_job_without_its_data_cannot_run_again() -> None:
    with pytest.raises(FaultError) as error:
        orders.check_retry(a_record(state=State.FAILED, data_removed=True))
    assert fault_code(error) is FaultCode.CONFLICT
