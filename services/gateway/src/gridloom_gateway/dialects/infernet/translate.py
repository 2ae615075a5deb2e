"""Between Infernet's words and the core's. Pure: every decision is a table or a plain mapping."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from gridloom_contract import jobs
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.fleet import ModelEntry
from gridloom_contract.quota import RateRule
from gridloom_contract.vocabulary import Kind, State
from gridloom_domain import ids
from gridloom_domain.completions import shown_text
from gridloom_domain.errors import Invalid
from gridloom_domain.job import Reason
from gridloom_domain.rates import RateDecision
from gridloom_gateway.desk import no_such_job
from gridloom_gateway.dialects.infernet import wire
from gridloom_gateway.people import Caller
from gridloom_gateway.reading import invalid

DIALECT: Final = "infernet"

RATES: Final = (RateRule(group=DIALECT, per_minute=60),)
"""The documented sample value; a plan may say something else."""

STATUS: Final[dict[State, wire.Status]] = {
    State.HELD: "pending",
    State.QUEUED: "pending",
    State.CLAIMED: "processing",
    State.RUNNING: "processing",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    # There is no other word: `error` is `canceled` then (API.md §1.3, 2).
    State.CANCELED: "failed",
    State.UNKNOWN: "pending",
}

STATES: Final[dict[str, tuple[State, ...]]] = {
    "all": (),
    "pending": (State.HELD, State.QUEUED),
    "processing": (State.CLAIMED, State.RUNNING),
    "completed": (State.SUCCEEDED,),
    "failed": (State.FAILED, State.CANCELED),
}

ERRORS: Final[dict[FaultCode, tuple[int, str]]] = {
    FaultCode.UNAUTHENTICATED: (401, "unauthorized"),
    FaultCode.FORBIDDEN: (403, "forbidden"),
    FaultCode.INVALID: (400, "bad_request"),
    FaultCode.UNKNOWN_MODEL: (404, "model_not_found"),
    FaultCode.NO_CAPACITY: (503, "no_capacity"),
    FaultCode.NOT_FOUND: (404, "job_not_found"),
    FaultCode.METHOD_NOT_ALLOWED: (405, "method_not_allowed"),
    FaultCode.CONFLICT: (409, "conflict"),
    FaultCode.TOO_LARGE: (413, "too_large"),
    FaultCode.UNSUPPORTED_MEDIA: (415, "unsupported_media_type"),
    FaultCode.RATE_LIMITED: (429, "rate_limited"),
    FaultCode.REQUEST_TIMEOUT: (408, "request_timeout"),
    FaultCode.UNAVAILABLE: (503, "unavailable"),
    FaultCode.UPSTREAM: (502, "upstream_error"),
    FaultCode.BAD_OUTPUT: (502, "upstream_error"),
    FaultCode.WORKER_LOST: (502, "node_disconnected"),
    FaultCode.INTERNAL: (500, "internal_error"),
    FaultCode.UNKNOWN: (500, "internal_error"),
}
"""What a fault is called, and its status if it is the answer to a request."""

HTTP: Final[dict[FaultCode, int]] = {code: status for code, (status, _) in ERRORS.items()}

CANCELED: Final = "canceled"
CANCELLATION: Final[dict[str, str]] = {
    Reason.TIMEOUT: "The job ran longer than its limit",
    Reason.DEADLINE: "The job was not done in time",
    Reason.CLIENT_GONE: "Nobody waited for the job any more",
}
"""What is said of a canceled job; of any other reason, that it was canceled."""

_MAX_TOKENS: Final = 512
_TEMPERATURE: Final = 0.7
_TOP_P: Final = 1.0


def to_job_id(text: str) -> str:
    """Return the core's id. Raises the same `NotFound` as for a job that does not exist."""
    try:
        return ids.from_prefixed(text)
    except ValueError:
        raise no_such_job() from None


def from_job_id(job: str) -> str:
    """Return the id as this API spells it."""
    return ids.as_prefixed(job)


def to_submission(
    body: wire.SubmitJob, caller: Caller, job: str, wait_seconds: float, traceparent: str | None
) -> jobs.Submission:
    """Return what the core takes in. Raises `Invalid` for a message that is none.

    Nobody can be told later that a stream has no provider, nor wait for a certain node (API.md §1.3, 1).
    """
    _check_messages(body.messages)
    is_stream = bool(body.stream)
    return jobs.Submission(
        job=job,
        account=caller.account,
        key=caller.kid,
        dialect=DIALECT,
        model=body.model,
        task=jobs.Task(kind=Kind.CHAT, messages=tuple(body.messages), params=to_params(body)),
        priority=caller.priority_boost,
        sync=is_stream,
        node=body.node_id,
        needs_provider=is_stream or body.node_id is not None,
        capacity_wait_seconds=wait_seconds,
        traceparent=traceparent,
    )


def to_params(body: wire.SubmitJob) -> dict[str, Any]:
    """Return the sampling parameters, with the documented defaults."""
    return {
        "max_tokens": _MAX_TOKENS if body.max_tokens is None else body.max_tokens,
        "temperature": _TEMPERATURE if body.temperature is None else body.temperature,
        "top_p": _TOP_P if body.top_p is None else body.top_p,
    }


def to_listing(query: wire.ListQuery, account: str) -> jobs.ListJobs:
    """Return the question for the newest jobs that were submitted here. Raises `Invalid` for a time that is none."""
    return jobs.ListJobs(
        account=account,
        states=STATES[query.status],
        dialects=(DIALECT,),
        listed=True,
        since=None if query.since is None else to_moment(query.since),
        per_page=min(query.limit, wire.MAX_LIMIT),
    )


def to_moment(text: str) -> datetime:
    """Return a time of ISO 8601; one without a zone is UTC. Raises `Invalid`."""
    # The plus of a zone that is not escaped arrives as a blank.
    repaired = text.replace(" ", "+") if "T" in text else text
    try:
        moment = datetime.fromisoformat(repaired)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"since: {text!r} is no time of ISO 8601", "since") from None


def from_acceptance(acceptance: jobs.Acceptance, model: str) -> wire.JobDocument:
    """Return the answer to a submission: `pending`, whatever has happened to the job since."""
    created_at = acceptance.created_at or datetime.fromtimestamp(ids.created_ms(acceptance.job) / 1000, UTC)
    return wire.JobDocument(
        id=from_job_id(acceptance.job), status=STATUS[State.QUEUED], model=model, created_at=moment(created_at)
    )


def from_job(job: jobs.Job) -> wire.JobDocument:
    """Return the job as its owner sees it."""
    word, message = why(job) or (UNSET, UNSET)
    return wire.JobDocument(
        id=from_job_id(job.job),
        status=STATUS[job.state],
        model=job.model,
        node_id=job.worker or UNSET,
        result=_result(job),
        error=word,
        error_message=message,
        created_at=moment(job.created_at),
        completed_at=UNSET if job.ended_at is None else moment(job.ended_at),
        latency_ms=_latency_ms(job),
    )


def from_page(page: jobs.JobPage) -> wire.JobList:
    """Return a listing."""
    return wire.JobList(jobs=[from_job(job) for job in page.jobs])


def from_models(entries: tuple[ModelEntry, ...]) -> wire.Models:
    """Return the models that can chat, which is all that jobs do here."""
    return wire.Models(
        models=[
            wire.Model(id=entry.model, nodes=entry.workers, avg_tokens_per_second=round(entry.tokens_per_second, 1))
            for entry in entries
            if entry.kind == Kind.CHAT
        ]
    )


def why(job: jobs.Job) -> tuple[str, str] | None:
    """Return why the job failed, as a word and a sentence; None if it did not."""
    if job.state is State.CANCELED:
        return CANCELED, CANCELLATION.get(job.reason or "", "The job was canceled")
    if job.state is State.FAILED:
        fault = job.error or Fault(code=FaultCode.UNKNOWN, message=job.reason or "The job failed")
        return ERRORS[fault.code][1], fault.message
    return None


def from_fault(fault: Fault) -> wire.Error:
    """Return the body of an error."""
    return wire.Error(error=ERRORS[fault.code][1], error_message=fault.message)


def from_no_route(fault: Fault) -> wire.Error:
    """Return the body of the error for a path that leads nowhere."""
    return wire.Error(error="not_found", error_message=fault.message)


def from_decision(decision: RateDecision) -> dict[str, str]:
    """Return the headers that every answer has."""
    return {
        "X-RateLimit-Limit": str(decision.limit),
        "X-RateLimit-Remaining": str(decision.remaining),
        "X-RateLimit-Reset": str(int(decision.resets_at.timestamp())),
    }


def moment(at: datetime) -> str:
    """Return a time in UTC with seconds and `Z`."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _check_messages(messages: list[dict[str, Any]]) -> None:
    try:
        msgspec.convert({"messages": messages}, wire.Conversation)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def _result(job: jobs.Job) -> wire.Result | UnsetType:
    content = shown_text(job)
    if job.state is not State.SUCCEEDED or content is None:
        return UNSET
    usage = job.usage
    counted = UNSET if usage is None else _usage(usage.tokens_in, usage.tokens_out)
    return wire.Result(content=content, usage=counted)


def _usage(prompt: int, completion: int) -> wire.Usage:
    return wire.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _latency_ms(job: jobs.Job) -> int | UnsetType:
    if job.ended_at is None:
        return UNSET
    return max(0, round((job.ended_at - job.created_at).total_seconds() * 1000))
