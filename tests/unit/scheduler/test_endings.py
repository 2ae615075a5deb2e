"""Endings: what counts as a report, how attempts end, and when a loss is a loss."""

from __future__ import annotations

import pytest

from gridloom_contract.events import JobFinished
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import MAX_INLINE_BYTES
from gridloom_contract.vocabulary import State, Usage
from gridloom_contract.work import ResultReport, StartReport, Verdict
from gridloom_domain.ids import RANDOM_BYTES, new_id
from gridloom_scheduler.record import InputSize, JobRecord
from gridloom_scheduler.rules.endings import (
    NOTHING_STORED,
    Report,
    StoredOutputs,
    after_fault,
    after_loss,
    judge,
    undelivered,
)
from gridloom_scheduler.rules.liveness import Loss, is_silent, loss_of
from unit.scheduler.records import TOKEN, WORKER, a_claimed_record, a_moment, a_record, a_running_record, changed

MAY_PASS = Fault(code=FaultCode.UPSTREAM, message="busy", retryable=True)
STALE, RECORDED = Verdict.STALE, Verdict.RECORDED
REF = "obj_1"


def start(job: JobRecord, attempt: int = 1, token: str = TOKEN) -> StartReport:
    """The report that the engine has the job."""
    return StartReport(job=job.id, attempt=attempt, token=token)


def result(job: JobRecord, **changes: object) -> ResultReport:
    """The report that the attempt ended well, unless told otherwise."""
    usual: dict[str, object] = {"job": job.id, "attempt": 1, "token": TOKEN, "output": "Hello!"}
    return ResultReport(**(usual | changes))


def judged(
    job: JobRecord | None, *reports: Report, worker: str = WORKER, stored: StoredOutputs = NOTHING_STORED
) -> tuple[list[Verdict], JobRecord | None]:
    """Return the verdicts and the job after them."""
    judgement = judge(job, worker, reports, a_moment(), stored)
    return list(judgement.verdicts), judgement.change.after if judgement.change else None


def test_a_start_and_a_result_become_one_change() -> None:
    job = a_claimed_record()

    verdicts, after = judged(job, start(job), result(job))

    assert verdicts == [RECORDED, RECORDED]
    assert after is not None
    assert (after.state, after.seq, after.output) == (State.SUCCEEDED, job.seq + 2, "Hello!")
    assert [type(fact).__name__ for fact in after.events] == ["JobStarted", "JobFinished"]


@pytest.mark.parametrize(
    ("age_seconds", "verdict"), [(0, Verdict.LATER), (9, Verdict.LATER), (-9, Verdict.LATER), (60, STALE), (-60, STALE)]
)
def test_what_is_reported_on_a_job_that_is_not_there_yet_is_to_come_again(age_seconds: int, verdict: Verdict) -> None:
    made_ms = round(a_moment().at.timestamp() * 1000) - age_seconds * 1000
    report = result(a_record(id=new_id(made_ms, bytes(RANDOM_BYTES))))

    assert judged(None, report) == ([verdict], None)


def test_what_is_reported_on_what_is_no_job_is_stale() -> None:
    assert judged(None, result(a_record(id="../../etc"))) == ([STALE], None)


def test_a_raw_answer_is_judged_by_what_it_says() -> None:
    job = a_claimed_record(is_raw=True, input_size=InputSize(text_characters=8, task_bytes=60))
    about = '"logprobs":{"content":[' + ",".join(['{"token":"Hi","logprob":-0.5}'] * 50) + "]}"
    body = '{"choices":[{"message":{"content":"Hi"},' + about + "}]}"
    usage = Usage(tokens_in=2, tokens_out=1)
    _, after = judged(job, start(job), result(job, output=body, usage=usage, streamed_characters=7))
    assert after is not None
    assert (after.state, after.usage, after.streamed_characters) == (State.SUCCEEDED, usage, 7)


@pytest.mark.parametrize("output", ["", "Hi", "[1]", None])
def test_a_raw_answer_that_is_no_body_is_bad_output(output: str | None) -> None:
    job = a_claimed_record(is_raw=True, max_attempts=1)
    _, after = judged(job, start(job), result(job, output=output))
    assert after is not None
    assert after.error is not None
    assert after.error.code is FaultCode.BAD_OUTPUT


@pytest.mark.parametrize("count", [-1, 2**63, 10**30])
def test_a_count_of_characters_that_cannot_be_is_none(count: int) -> None:
    job = a_claimed_record(is_raw=True)
    _, after = judged(job, start(job), result(job, output="{}", streamed_characters=count))
    assert after is not None
    assert after.streamed_characters is None


def test_a_repeated_start_changes_nothing() -> None:
    job = a_running_record()

    assert judged(job, start(job)) == ([RECORDED], None)


def test_a_repeated_result_is_known_by_its_token() -> None:
    job = a_running_record()
    _, ended = judged(job, result(job))

    assert judged(ended, result(job, output="Another")) == ([RECORDED], None)
    assert judged(ended, start(job)) == ([RECORDED], None)


@pytest.mark.parametrize(
    "job",
    [
        None,
        a_record(),
        a_record(state=State.CANCELED),
        a_claimed_record(attempt=2),
        a_running_record(recorded_token="another"),
    ],
)
def test_a_report_without_its_lease_is_stale(job: JobRecord | None) -> None:
    mine = job or a_record()
    attempt, token = (1, TOKEN) if mine.attempt != 1 else (1, "wrong")

    assert judged(job, start(mine, attempt, token)) == ([STALE], None)
    assert judged(job, result(mine, token=token)) == ([STALE], None)


def test_a_result_after_a_loss_is_stale() -> None:
    job = a_running_record()

    lost = after_loss(job, "silent", a_moment()).after

    assert judged(lost, result(job)) == ([STALE], None)


def test_another_workers_report_is_stale() -> None:
    job = a_running_record()

    assert judged(job, result(job), worker="wsomebodyelse") == ([STALE], None)


def test_what_one_engine_garbled_another_may_answer() -> None:
    garbled = Fault(code=FaultCode.BAD_OUTPUT, message="not JSON", retryable=True)

    assert after_fault(a_running_record(), garbled, a_moment()).after.state is State.HELD


def test_pauses_grow_and_attempts_end() -> None:
    job = a_running_record(max_attempts=4)
    pauses = []
    for _ in range(3):
        after = after_fault(job, MAY_PASS, a_moment()).after
        assert after.held_until is not None
        pauses.append((after.held_until - a_moment().at).total_seconds())
        job = changed(job, failures=after.failures)

    assert pauses == [1.0, 2.0, 4.0]
    assert after_fault(job, MAY_PASS, a_moment()).after.state is State.FAILED


@pytest.mark.parametrize(
    "fault",
    [
        Fault(code=FaultCode.UPSTREAM, message="no such parameter", retryable=False),
        Fault(code=FaultCode.INVALID, message="too long", retryable=True),
        Fault(code=FaultCode.TOO_LARGE, message="no bus message holds it", retryable=True),
    ],
)
def test_what_another_attempt_would_repeat_ends_the_job(fault: Fault) -> None:
    assert after_fault(a_running_record(), fault, a_moment()).after.state is State.FAILED


def test_a_loss_is_tried_again_at_once_on_another_worker() -> None:
    after = after_loss(a_running_record(), "silent", a_moment()).after

    assert (after.state, after.reason, after.failures) == (State.QUEUED, "lease_lost", 1)
    assert after.excluded == (WORKER,)


def test_the_last_loss_fails_the_job() -> None:
    after = after_loss(a_running_record(failures=2), "silent", a_moment()).after

    assert (after.state, after.error and after.error.code) == (State.FAILED, FaultCode.WORKER_LOST)


def test_an_undelivered_order_counts_for_nothing() -> None:
    after = undelivered(a_claimed_record(max_attempts=1), a_moment()).after

    assert (after.state, after.failures) == (State.QUEUED, 0)


def test_what_a_stranger_reports_is_bounded() -> None:
    job = a_running_record()
    usage = Usage(tokens_in=-1, tokens_out=10**30)

    _, after = judged(job, result(job, usage=usage, finish_reason="x" * 1000, engine_seconds=-3.0))

    assert after is not None
    assert after.usage == Usage(tokens_in=0, tokens_out=2, estimated=True)
    assert len(after.finish_reason or "") == 64


@pytest.mark.parametrize(
    "code",
    [
        FaultCode.UNAUTHENTICATED,
        FaultCode.FORBIDDEN,
        FaultCode.UNKNOWN_MODEL,
        FaultCode.NO_CAPACITY,
        FaultCode.METHOD_NOT_ALLOWED,
        FaultCode.RATE_LIMITED,
    ],
)
def test_no_stranger_speaks_of_an_accounts_key_model_or_quota(code: FaultCode) -> None:
    job = a_running_record()

    _, after = judged(job, result(job, fault=Fault(code=code, message="no")))

    assert after is not None
    assert after.error is not None
    assert (after.state, after.reason, after.error.code) == (State.FAILED, "upstream_error", FaultCode.UPSTREAM)


def test_an_engine_worked_no_longer_than_its_worker_had_the_job() -> None:
    job = a_running_record()

    _, after = judged(job, result(job, engine_seconds=1e6))

    assert after is not None
    [finished] = after.events
    assert isinstance(finished, JobFinished)
    assert finished.engine_seconds == 1.0


def test_an_answer_is_never_without_its_tokens() -> None:
    job = a_running_record(input_size=InputSize(text_characters=9, task_bytes=22))

    _, after = judged(job, result(job, usage=None))

    assert after is not None
    assert after.usage == Usage(tokens_in=3, tokens_out=2, estimated=True)


@pytest.mark.parametrize(
    ("state", "same_session", "missing", "loss"),
    [
        (State.CLAIMED, True, 2.9, Loss.NONE),
        (State.CLAIMED, True, 3.1, Loss.UNDELIVERED),
        (State.CLAIMED, False, 3.1, Loss.ABANDONED),
        (State.RUNNING, True, 3.1, Loss.ABANDONED),
        (State.RUNNING, False, 1.0, Loss.NONE),
    ],
)
def test_a_job_that_its_worker_does_not_list_is_lost_in_one_of_two_ways(
    state: State, same_session: bool, missing: float, loss: Loss
) -> None:
    assert loss_of(state, same_session=same_session, missing_seconds=missing) is loss


def test_a_worker_is_silent_after_a_whole_lease() -> None:
    assert not is_silent(last_heard=10.0, at=15.0, lease_seconds=5.0)
    assert is_silent(last_heard=10.0, at=15.1, lease_seconds=5.0)


def test_an_output_elsewhere_counts_once_it_is_there() -> None:
    job = a_running_record()

    verdicts, after = judged(job, result(job, output=None, output_ref=REF), stored={(job.id, REF): 4_000})

    assert verdicts == [RECORDED]
    assert after is not None
    assert (after.state, after.output, after.output_ref) == (State.SUCCEEDED, None, REF)
    assert after.usage == Usage(tokens_in=0, tokens_out=1_000, estimated=True)


@pytest.mark.parametrize("stored", [{}, {("another", REF): 5}, {("another", REF): None}])
def test_an_output_that_is_not_there_or_not_the_jobs_is_a_bad_one(stored: StoredOutputs) -> None:
    job = a_running_record()

    verdicts, after = judged(job, result(job, output="short", output_ref=REF), stored=stored)

    assert verdicts == [RECORDED]
    assert after is not None
    assert (after.state, after.output, after.output_ref, after.excluded) == (State.HELD, None, None, (WORKER,))


def test_a_result_waits_while_nobody_can_tell_whether_its_output_is_there() -> None:
    job = a_running_record()
    unclear: StoredOutputs = {(job.id, REF): None}

    assert judged(job, result(job, output=None, output_ref=REF), stored=unclear) == ([Verdict.LATER], None)
    assert judged(job, result(job, fault=MAY_PASS, output_ref=REF), stored=unclear)[0] == [RECORDED]
    assert judged(job, result(job, token="other", output_ref=REF), stored=unclear)[0] == [STALE]


def test_an_output_that_should_have_been_uploaded_is_not_taken() -> None:
    job = a_running_record()
    longest = "x" * (MAX_INLINE_BYTES - 2)

    _, taken = judged(job, result(job, output=longest))
    _, refused = judged(job, result(job, output=longest + "x"))

    assert taken is not None
    assert refused is not None
    assert (taken.state, taken.output) == (State.SUCCEEDED, longest)
    assert (refused.state, refused.output) == (State.HELD, None)


def test_a_start_counts_even_if_its_result_must_wait() -> None:
    job = a_claimed_record()
    unclear: StoredOutputs = {(job.id, REF): None}

    verdicts, after = judged(job, start(job), result(job, output=None, output_ref=REF), stored=unclear)

    assert verdicts == [RECORDED, Verdict.LATER]
    assert after is not None
    assert after.state is State.RUNNING
