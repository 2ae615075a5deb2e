"""Between the native API's words and the core's. Pure: every decision is a table or a plain mapping."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from msgspec import UNSET, UnsetType

from gridloom_contract import jobs
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.vocabulary import Kind, Match, State
from gridloom_contract.webhooks import WebhookOrder
from gridloom_domain import ids
from gridloom_domain.completions import shown_text
from gridloom_domain.job import Reason
from gridloom_gateway.desk import no_such_job
from gridloom_gateway.dialects.native import wire
from gridloom_gateway.people import Caller
from gridloom_gateway.updates import Position, position_in

T = TypeVar("T")

DIALECT: Final = "native"

STATUS: Final[dict[State, wire.Status]] = {
    State.HELD: "pending",
    State.QUEUED: "pending",
    State.CLAIMED: "claimed",
    State.RUNNING: "running",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    # A documented poller stops only at completed or failed (API.md §1.1, 3).
    State.CANCELED: "failed",
    State.UNKNOWN: "pending",
}

STATES: Final[dict[str, tuple[State, ...]]] = {
    "pending": (State.HELD, State.QUEUED),
    "claimed": (State.CLAIMED,),
    "running": (State.RUNNING,),
    "completed": (State.SUCCEEDED,),
    "failed": (State.FAILED, State.CANCELED),
    "cancelled": (State.CANCELED,),
    "canceled": (State.CANCELED,),
}

HTTP: Final[dict[FaultCode, int]] = {
    FaultCode.UNAUTHENTICATED: 401,
    FaultCode.FORBIDDEN: 403,
    FaultCode.INVALID: 422,
    FaultCode.UNKNOWN_MODEL: 422,
    FaultCode.NO_CAPACITY: 503,
    FaultCode.NOT_FOUND: 404,
    FaultCode.METHOD_NOT_ALLOWED: 405,
    FaultCode.CONFLICT: 409,
    FaultCode.TOO_LARGE: 413,
    FaultCode.UNSUPPORTED_MEDIA: 415,
    FaultCode.RATE_LIMITED: 429,
    FaultCode.REQUEST_TIMEOUT: 408,
    FaultCode.UNAVAILABLE: 503,
    FaultCode.UPSTREAM: 502,
    FaultCode.BAD_OUTPUT: 502,
    FaultCode.WORKER_LOST: 502,
    FaultCode.INTERNAL: 500,
    FaultCode.UNKNOWN: 500,
}

CANCELLATION: Final[dict[str, str]] = {Reason.TIMEOUT: "timeout", Reason.DEADLINE: "timeout"}
"""What `error` says of a canceled job; any other reason is `cancelled`."""

MATCH: Final[dict[str | None, Match]] = {None: Match.EXACT, "exact": Match.EXACT, "family": Match.FAMILY}
MATCH_WORD: Final[dict[Match, Literal["exact", "family"]]] = {
    Match.EXACT: "exact",
    Match.FAMILY: "family",
    Match.UNKNOWN: "exact",
}

_DEFAULT_TIMEOUT_SECONDS: Final = 600


def to_job_id(text: str) -> str:
    """Return the core's id. Raises the same `NotFound` as for a job that does not exist."""
    try:
        return ids.from_uuid(text)
    except ValueError:
        raise no_such_job() from None


def to_submission(
    body: wire.SubmitJob, caller: Caller, job: str, webhook: WebhookOrder | None, traceparent: str | None
) -> jobs.Submission:
    """Return what the core takes in."""
    return jobs.Submission(
        job=job,
        account=caller.account,
        key=caller.kid,
        dialect=DIALECT,
        model=body.model,
        match=MATCH[body.model_match],
        task=jobs.Task(kind=Kind.CHAT, prompt=body.prompt),
        tag=body.tag,
        priority=caller.priority_boost if body.priority is None else body.priority,
        timeout_seconds=float(body.timeout_seconds or _DEFAULT_TIMEOUT_SECONDS),
        webhook=webhook,
        traceparent=traceparent,
        files=body.expect_blobs or 0,
        may_get_files=body.expect_blobs is None,
    )


def to_listing(query: wire.ListQuery, account: str) -> jobs.ListJobs:
    """Return the question for one page of the jobs that were submitted here."""
    return jobs.ListJobs(
        account=account,
        states=STATES[query.status] if query.status else (),
        dialects=(DIALECT,),
        listed=True,
        tag=query.tag,
        page=query.page,
        per_page=wire.PER_PAGE,
    )


def to_position(last_event_id: str | None) -> Position | None:
    """Return what a reader that reconnects has; None if it has nothing or says something else."""
    return position_in(last_event_id)


def from_acceptance(acceptance: jobs.Acceptance) -> wire.Submitted:
    """Return the answer to a submission: however often it is given, the job as it was when it was taken in."""
    job = ids.as_uuid(acceptance.job)
    # The scheduler's time; an id holds that of its making, should an older scheduler not say it.
    created_at = moment(acceptance.created_at or datetime.fromtimestamp(ids.created_ms(acceptance.job) / 1000, UTC))
    return wire.Submitted(job_id=job, id=job, status=STATUS[State.QUEUED], created_at=created_at)


def from_job(job: jobs.Job) -> wire.JobDocument:
    """Return the job as its owner sees it."""
    name = ids.as_uuid(job.job)
    is_done = job.state is State.SUCCEEDED
    usage = job.usage
    return wire.JobDocument(
        job_id=name,
        id=name,
        status=STATUS[job.state],
        model=job.model,
        model_match=MATCH_WORD[job.match],
        served_model=_if_set(job.served_model),
        tag=_if_set(job.tag),
        priority=job.priority,
        timeout_seconds=round(job.timeout_seconds),
        attempts=job.attempt,
        created_at=moment(job.created_at),
        claimed_at=_moment_if_set(job.claimed_at),
        started_at=_moment_if_set(job.started_at),
        completed_at=_moment_if_set(job.ended_at),
        duration_ms=_duration_ms(job),
        output=_if_set(shown_text(job)) if is_done else UNSET,
        output_tokens=(usage.tokens_out if usage else None) if is_done else UNSET,
        input_tokens=(usage.tokens_in if usage else None) if is_done else UNSET,
        finish_reason=_if_set(job.finish_reason),
        error=_error(job),
        cancelled=True if job.state is State.CANCELED else UNSET,
        data_removed=job.data_removed or UNSET,
        waiting_for=_if_set(job.reason) if job.state is State.HELD else UNSET,
        held_until=_moment_if_set(job.held_until) if job.state is State.HELD else UNSET,
        queue_position=_if_set(job.queue_position),
        estimated_start_seconds=_if_set(job.estimated_start_seconds),
    )


def from_page(page: jobs.JobPage, query: wire.ListQuery) -> wire.JobList:
    """Return one page of a listing."""
    return wire.JobList(
        jobs=[from_job(job) for job in page.jobs],
        page=query.page,
        per_page=wire.PER_PAGE,
        total=page.total,
        total_pages=-(-page.total // wire.PER_PAGE),
    )


def from_model(entry: ModelEntry) -> wire.Model:
    """Return a model of the catalogue."""
    return wire.Model(
        id=entry.model,
        name=entry.model,
        model=entry.model,
        family=entry.family,
        kind=entry.kind,
        worker_count=entry.workers,
        slots=entry.slots,
        waiting=entry.waiting,
        tokens_per_second=entry.tokens_per_second,
        context_length=entry.context_tokens,
        features=list(entry.features),
    )


def from_fault(fault: Fault, request_id: str, word: str | None = None) -> wire.Error:
    """Return the body of an error."""
    return wire.Error(
        error=word or str(fault.code), message=fault.message, request_id=request_id, field=_if_set(fault.field)
    )


def moment(at: datetime) -> str:
    """Return a time in UTC with milliseconds and `Z`."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _moment_if_set(at: datetime | None) -> str | UnsetType:
    return UNSET if at is None else moment(at)


def _if_set(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _duration_ms(job: jobs.Job) -> int | UnsetType:
    if job.started_at is None or job.ended_at is None:
        return UNSET
    return max(0, round((job.ended_at - job.started_at).total_seconds() * 1000))


def _error(job: jobs.Job) -> str | UnsetType:
    if job.state is State.CANCELED:
        return CANCELLATION.get(job.reason or "", "cancelled")
    if job.state is State.FAILED:
        return job.error.message if job.error else job.reason or "failed"
    return UNSET
