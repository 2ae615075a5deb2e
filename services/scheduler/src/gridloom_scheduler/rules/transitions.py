"""Every transition of a job, each as one `Change`: the fields it sets and the facts it states (API.md §1.0).

Who may take which transition is decided by the callers; that the stored job is still the one they saw, by the
compare-and-set that stores the change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from gridloom_contract import events
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.vocabulary import State, Usage
from gridloom_domain.errors import RateLimited
from gridloom_domain.job import Reason
from gridloom_scheduler.record import JobRecord, Lease
from gridloom_scheduler.rules.allowances import WITHOUT_LIMITS, Allowance
from gridloom_scheduler.rules.changes import Change, Facts, Moment
from gridloom_scheduler.rules.holds import no_more_files, no_more_waiting, waiting_again

_UNENDED: dict[str, Any] = dict.fromkeys(
    (
        "output",
        "output_ref",
        "finish_reason",
        "usage",
        "error",
        "ended_at",
        "started_at",
        "claimed_at",
        "worker",
        "served_model",
    )
)

_FAILED_FOR = {
    FaultCode.UPSTREAM: Reason.UPSTREAM_ERROR,
    FaultCode.WORKER_LOST: Reason.LEASE_LOST,
    FaultCode.BAD_OUTPUT: Reason.BAD_OUTPUT,
    FaultCode.INVALID: Reason.INVALID_REQUEST,
    FaultCode.TOO_LARGE: Reason.INVALID_REQUEST,
    FaultCode.UNSUPPORTED_MEDIA: Reason.INVALID_REQUEST,
    FaultCode.NOT_FOUND: Reason.INPUT_LOST,
    FaultCode.NO_CAPACITY: Reason.NO_CAPACITY,
    FaultCode.RATE_LIMITED: Reason.QUOTA,
}


@dataclass(frozen=True)
class Placement:
    """Which worker gets the job, as which model, and by which rule."""

    worker: str
    model: str
    why: str


@dataclass(frozen=True)
class Answer:
    """What a worker brought back from a successful attempt. Seconds are its own measurements, for display only."""

    output: str | None
    output_ref: str | None = None
    finish_reason: str | None = None
    streamed_characters: int | None = None
    usage: Usage | None = None
    engine_seconds: float | None = None
    first_token_seconds: float | None = None


@dataclass(frozen=True)
class Setback:
    """Why an attempt ended without an answer, whether it counts as a failure, and how the next one is made."""

    reason: Reason
    fault: Fault | None = None
    counts: bool = True
    avoids_worker: bool = True
    pause_seconds: float = 0.0


def reason_of(fault: Fault) -> Reason:
    """Return the reason that stands for a fault in a job's timeline."""
    return _FAILED_FOR.get(fault.code, Reason.WORKER_ERROR)


def assigned(
    job: JobRecord, placement: Placement, lease: Lease, moment: Moment, allowance: Allowance = WITHOUT_LIMITS
) -> Change:
    """A queued job is claimed for a worker, as a new attempt, with what its account's plan allows for it."""
    facts = Facts(job, moment, attempt=job.attempt + 1)
    facts.state(
        events.JobAssigned,
        worker=placement.worker,
        served_model=placement.model,
        why=placement.why,
        waited_ms=max(0, round((moment.at - job.queued_at).total_seconds() * 1000)),
        grant=allowance.grant,
        reserved_tokens=allowance.tokens,
    )
    berth = {} if allowance.berth is None else {"berth": allowance.berth}
    return facts.change(
        **berth,
        state=State.CLAIMED,
        reason=None,
        attempt=job.attempt + 1,
        lease=lease,
        worker=placement.worker,
        served_model=placement.model,
        claimed_at=moment.at,
        started_at=None,
        timeout_at=moment.at + timedelta(seconds=job.timeout_seconds),
    )


def started(job: JobRecord, moment: Moment) -> Change:
    """The worker handed the job to its engine."""
    facts = Facts(job, moment)
    facts.state(events.JobStarted, worker=job.worker, has_webhook=job.has_webhook)
    return facts.change(**no_more_waiting(job), state=State.RUNNING, started_at=moment.at)


def succeeded(job: JobRecord, answer: Answer, moment: Moment) -> Change:
    """The answer is there. A result that overtook its start report passes through `running` in the same write."""
    facts = Facts(job, moment)
    if job.state is State.CLAIMED:
        facts.state(events.JobStarted, worker=job.worker, has_webhook=job.has_webhook)
    started_at = job.started_at or moment.at
    facts.state(
        events.JobFinished,
        **_finished(job, State.SUCCEEDED) | {"started_at": started_at},
        usage=answer.usage,
        engine_seconds=answer.engine_seconds,
        first_token_seconds=answer.first_token_seconds,
    )
    return facts.change(
        **_ended(job),
        state=State.SUCCEEDED,
        reason=None,
        error=None,
        started_at=started_at,
        ended_at=moment.at,
        **_content(answer),
        finish_reason=answer.finish_reason,
        usage=answer.usage,
    )


def _content(answer: Answer) -> dict[str, Any]:
    streamed = {} if answer.streamed_characters is None else {"streamed_characters": answer.streamed_characters}
    where = {"output": answer.output} if answer.output_ref is None else {"output_ref": answer.output_ref}
    return {**where, **streamed}


def failed(job: JobRecord, fault: Fault, moment: Moment, usage: Usage | None = None) -> Change:
    """The attempt failed in a way that another would repeat, or it was the last one."""
    facts = Facts(job, moment)
    reason = reason_of(fault)
    facts.state(events.JobFinished, **_finished(job, State.FAILED), reason=reason, fault=fault, usage=usage)
    return facts.change(
        **_ended(job),
        state=State.FAILED,
        reason=reason,
        error=fault,
        usage=usage,
        failures=job.failures + 1,
        ended_at=moment.at,
    )


def requeued(job: JobRecord, setback: Setback, moment: Moment) -> Change:
    """The attempt ended without an answer; the job waits for another one, after a pause if there is to be one."""
    facts = Facts(job, moment)
    facts.state(events.JobRequeued, reason=setback.reason, worker=job.worker, fault=setback.fault)
    values: dict[str, Any] = {"state": State.QUEUED, "reason": setback.reason, "held_until": None}
    if setback.pause_seconds > 0:
        until = moment.at + timedelta(seconds=setback.pause_seconds)
        facts.state(events.JobHeld, reason=Reason.BACKOFF, until=until)
        values = {"state": State.HELD, "reason": Reason.BACKOFF, "held_until": until}
    avoided = {job.worker} if setback.avoids_worker and job.worker else set()
    return facts.change(
        **_out_of_hand(job),
        **values,
        queued_at=moment.at,
        started_at=None,
        claimed_at=None,
        worker=None,
        served_model=None,
        failures=job.failures + (1 if setback.counts else 0),
        excluded=tuple(sorted({*job.excluded, *avoided})) or None,
    )


def canceled(job: JobRecord, reason: str, moment: Moment) -> Change:
    """Somebody, or a clock, ended the job before it had an answer."""
    facts = Facts(job, moment)
    facts.state(events.JobFinished, **_finished(job, State.CANCELED), reason=reason)
    return facts.change(**_ended(job), **no_more_files(job), state=State.CANCELED, reason=reason, ended_at=moment.at)


def no_capacity(job: JobRecord, moment: Moment) -> Change:
    """Nobody has started the job for as long as it may wait, though a worker may have it as its next one."""
    change = failed(job, _why_not_started(job, moment), moment)
    return replace(change, values={**change.values, **no_more_files(job)})


def _why_not_started(job: JobRecord, moment: Moment) -> Fault:
    """Return whose fault it is: nobody was free, or the account's quota has no room before a certain time."""
    waited = f"within {job.capacity_wait_seconds or 0:g} seconds"
    if job.state is not State.HELD or job.reason != Reason.QUOTA:
        message = f"no worker was free for the job {waited}"
        return Fault(code=FaultCode.NO_CAPACITY, message=message, retryable=True)
    until = job.held_until or moment.at
    message = f"the account's quota has no room for the job before {until:%Y-%m-%d %H:%M} UTC"
    return RateLimited(message, retry_after_seconds=max(1.0, (until - moment.at).total_seconds())).fault


def retried(job: JobRecord, fair: float, moment: Moment, sealed_key: str | None = None) -> Change:
    """An ended job runs again, as if it had just been submitted; a deadline runs anew.

    `sealed_key` will sign its webhook, if it has one.
    """
    facts = Facts(job, moment)
    facts.state(events.JobRetried, sealed_key=sealed_key if job.has_webhook else None, has_webhook=job.has_webhook)
    deadline_at = moment.at + (job.deadline_at - job.created_at) if job.deadline_at else None
    return facts.change(
        **_UNENDED,
        state=State.QUEUED,
        reason=None,
        failures=0,
        excluded=None,
        recorded_token=None,
        queued_at=moment.at,
        fair=fair,
        deadline_at=deadline_at,
        expires_at=deadline_at,
        **waiting_again(job, moment),
        holds_keys=job.has_webhook or None,
    )


def reprioritised(job: JobRecord, priority: int, lane: str, fair: float, moment: Moment) -> Change:
    """The owner moved a waiting job up or down."""
    facts = Facts(job, moment)
    facts.state(events.JobReprioritised, priority=priority)
    return facts.change(priority=priority, lane=lane, fair=fair)


def _out_of_hand(job: JobRecord) -> dict[str, Any]:
    berth = {} if job.berth is None else {"berth": None}
    return {**berth, "lease": None, "timeout_at": None}


def _ended(job: JobRecord) -> dict[str, Any]:
    return {**_out_of_hand(job), **no_more_waiting(job), "expires_at": None, "held_until": None}


def _finished(job: JobRecord, state: State) -> dict[str, Any]:
    return {
        "state": state,
        "key": job.key,
        "model": job.model,
        "dialect": job.dialect,
        "tag": job.tag,
        "worker": job.worker,
        "served_model": job.served_model,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "has_webhook": job.has_webhook,
    }
