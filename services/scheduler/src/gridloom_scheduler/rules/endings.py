"""How attempts end: what a worker's report changes, and what its silence does.

Everything in a report comes from a stranger: it counts only under the current lease, and what it carries is bounded
before it is stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.vocabulary import State, Usage
from gridloom_contract.work import AskUpload, ResultReport, StartReport, Verdict
from gridloom_domain.completions import body_in
from gridloom_domain.ids import created_ms
from gridloom_domain.inline import is_large
from gridloom_domain.job import Reason
from gridloom_domain.tokens import body_characters
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change, Moment
from gridloom_scheduler.rules.counting import Length, credible, evidence_of, seconds_in_hand
from gridloom_scheduler.rules.transitions import Answer, Setback

Report = StartReport | ResultReport
StoredOutputs = Mapping[tuple[str, str], int | None]
"""By job and ref: the size of a large output that is there for sure, None where nobody could tell."""
NOTHING_STORED: StoredOutputs = {}

_MAY_PASS = frozenset(
    {FaultCode.UPSTREAM, FaultCode.BAD_OUTPUT, FaultCode.WORKER_LOST, FaultCode.INTERNAL, FaultCode.UNAVAILABLE}
)
_OURS = frozenset(
    {
        FaultCode.UNAUTHENTICATED,
        FaultCode.FORBIDDEN,
        FaultCode.UNKNOWN_MODEL,
        FaultCode.NO_CAPACITY,
        FaultCode.METHOD_NOT_ALLOWED,
        FaultCode.RATE_LIMITED,
    }
)
"""What only we may say to an account: an engine that says it does not mean the account's key, model or quota."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_MOST_SECONDS = 1e7
_MOST_CHARACTERS = 2**40
_LONGEST_MESSAGE = 2_000
_LONGEST_WORD = 64
_NEW_SECONDS = 10.0
"""For so long a job that is not there may be one that is yet to be stored."""


@dataclass(frozen=True)
class Judgement:
    """What the reports on one job, in the order they came, amount to: a verdict each, and at most one change."""

    verdicts: tuple[Verdict, ...]
    change: Change | None = None


def judge(
    job: JobRecord | None,
    worker: str,
    reports: Sequence[Report],
    moment: Moment,
    stored: StoredOutputs = NOTHING_STORED,
) -> Judgement:
    """Judge what `worker` reports on one job; a start and its result become one change with the facts of both.

    A result that refers to an output counts only if `stored` has that.
    """
    verdicts: list[Verdict] = []
    change: Change | None = None
    for report in reports:
        current = change.after if change else job
        verdict, step = _judge_one(current, worker, report, moment, stored)
        verdicts.append(verdict)
        change = _both(change, step)
    return Judgement(tuple(verdicts), change)


def holds(job: JobRecord, worker: str, claim: Report | AskUpload) -> bool:
    """Whether the worker that says this has the job in hand, in this attempt and under this lease."""
    lease = job.lease
    return lease is not None and (lease.worker, lease.token, job.attempt) == (worker, claim.token, claim.attempt)


def _judge_one(
    job: JobRecord | None, worker: str, report: Report, moment: Moment, stored: StoredOutputs
) -> tuple[Verdict, Change | None]:
    if job is None:
        # Its order goes out while it is being stored; if that failed it is perhaps handed in again.
        return (Verdict.LATER if _is_new(report.job, moment) else Verdict.STALE), None
    if not holds(job, worker, report):
        known = job.recorded_token is not None and job.recorded_token == report.token
        return (Verdict.RECORDED if known else Verdict.STALE), None
    if isinstance(report, ResultReport):
        if _is_doubtful(report, stored):
            return Verdict.LATER, None
        return Verdict.RECORDED, _by(report, _ending(job, report, moment, stored))
    return Verdict.RECORDED, transitions.started(job, moment) if job.state is State.CLAIMED else None


def _is_new(job: str, moment: Moment) -> bool:
    """Whether the id of a job was made a moment ago."""
    try:
        age_seconds = moment.at.timestamp() - created_ms(job) / 1000
    except ValueError:
        return False
    return abs(age_seconds) <= _NEW_SECONDS


def _by(report: ResultReport, ending: Change) -> Change:
    """Remember whose report ended the attempt, so that its repetition is recognised; a loss has no such report."""
    return replace(ending, values={**ending.values, "recorded_token": report.token})


def _both(first: Change | None, second: Change | None) -> Change | None:
    if first is None or second is None:
        return first or second
    return Change(before=first.before, values={**first.values, **second.values}, facts=(*first.facts, *second.facts))


def _is_doubtful(result: ResultReport, stored: StoredOutputs) -> bool:
    """Whether the result counts only with an output of which nobody can tell now whether it is there."""
    place = (result.job, result.output_ref or "")
    return result.fault is None and not result.refused and place in stored and stored[place] is None


def _ending(job: JobRecord, result: ResultReport, moment: Moment, stored: StoredOutputs) -> Change:
    if result.refused:
        setback = Setback(Reason.REFUSED, counts=False, avoids_worker=False)
        return transitions.requeued(job, setback, moment)
    if result.fault is not None and _is_timeout(job, result.fault, moment):
        return transitions.canceled(job, Reason.TIMEOUT, moment)
    if result.fault is not None:
        usage = credible(result.usage, evidence_of(job, None, moment.at))
        return after_fault(job, _bounded_fault(result.fault), moment, usage)
    length = _length_of(job, result, stored)
    if length is None:
        return after_fault(job, _bad_output(), moment)
    answer = Answer(
        output=None if result.output_ref is not None else result.output or "",
        output_ref=result.output_ref,
        finish_reason=result.finish_reason[:_LONGEST_WORD] if result.finish_reason else None,
        usage=credible(result.usage, evidence_of(job, length, moment.at)),
        streamed_characters=_bounded_count(result.streamed_characters) if job.is_raw else None,
        engine_seconds=_bounded_seconds(result.engine_seconds, seconds_in_hand(job, moment.at)),
        first_token_seconds=_bounded_seconds(result.first_token_seconds),
    )
    return transitions.succeeded(job, answer, moment)


def _length_of(job: JobRecord, result: ResultReport, stored: StoredOutputs) -> Length | None:
    """Return the length of an answer, in bytes if it is elsewhere; None if it is not there or not as agreed."""
    if result.output_ref is not None:
        size = stored.get((result.job, result.output_ref))
        return None if size is None else Length(0, size) if job.is_raw else Length(size)
    output = result.output or ""
    if is_large(output):
        return None
    if not job.is_raw:
        return Length(len(output))
    body = body_in(output)
    return None if body is None else Length(body_characters(body))


def _bad_output() -> Fault:
    message = "the worker's answer is not where it should be, or not what it should be"
    return Fault(code=FaultCode.BAD_OUTPUT, message=message, retryable=True)


def _is_timeout(job: JobRecord, fault: Fault, moment: Moment) -> bool:
    """Whether the worker noticed before our own sweep that the time is up. Our clock says so, not the worker's."""
    is_due = job.timeout_at is not None and moment.at >= job.timeout_at
    return is_due and fault.code is FaultCode.REQUEST_TIMEOUT


def after_fault(job: JobRecord, fault: Fault, moment: Moment, usage: Usage | None = None) -> Change:
    """An attempt failed: try again elsewhere after a pause if that may help and attempts are left, else it is over."""
    if not _may_try_again(job, fault):
        return transitions.failed(job, fault, moment, usage)
    pause = min(_FIRST_PAUSE_SECONDS * 2.0**job.failures, _LONGEST_PAUSE_SECONDS)
    setback = Setback(transitions.reason_of(fault), fault=fault, pause_seconds=pause)
    return transitions.requeued(job, setback, moment)


def after_loss(job: JobRecord, message: str, moment: Moment) -> Change:
    """The worker is gone with the job: at once to another one, or failed if this was the last attempt."""
    fault = Fault(code=FaultCode.WORKER_LOST, message=message, retryable=True)
    if not _may_try_again(job, fault):
        return transitions.failed(job, fault, moment)
    return transitions.requeued(job, Setback(Reason.LEASE_LOST, fault=fault), moment)


def input_lost(job: JobRecord, moment: Moment) -> Change:
    """A file or the task of a waiting job is gone: nobody can ever do it."""
    fault = Fault(code=FaultCode.NOT_FOUND, message="a file of the job, or its large input, is there no more")
    return transitions.failed(job, fault, moment)


def undelivered(job: JobRecord, moment: Moment) -> Change:
    """The order never reached the worker: it waits again, and nobody is blamed."""
    return transitions.requeued(job, Setback(Reason.UNDELIVERED, counts=False, avoids_worker=False), moment)


def handed_back(job: JobRecord, moment: Moment) -> Change:
    """The worker may not have the job any more (revoked): it waits for another one, and nobody is blamed."""
    return transitions.requeued(job, Setback(Reason.LEASE_LOST, counts=False), moment)


def _may_try_again(job: JobRecord, fault: Fault) -> bool:
    return fault.retryable and fault.code in _MAY_PASS and job.failures + 1 < job.max_attempts


def _bounded_fault(fault: Fault) -> Fault:
    wait = fault.retry_after_seconds
    return msgspec.structs.replace(
        fault,
        code=FaultCode.UPSTREAM if fault.code in _OURS else fault.code,
        message=fault.message[:_LONGEST_MESSAGE],
        field=fault.field[:_LONGEST_WORD] if fault.field else None,
        retry_after_seconds=None if wait is None else _bounded_seconds(wait),
    )


def _bounded_count(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= _MOST_CHARACTERS else None


def _bounded_seconds(seconds: float | None, most: float = _MOST_SECONDS) -> float | None:
    if seconds is None or not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), most)
