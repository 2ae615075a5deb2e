"""Jobs in inference.club's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from gridloom_contract import jobs
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_domain.errors import NotFound
from gridloom_gateway.dialects.openai.translate.bodies import body_of
from gridloom_gateway.dialects.openai.translate.faults import failure_of, problem_of
from gridloom_gateway.dialects.openai.translate.names import INFERENCE_TYPE, created
from gridloom_gateway.dialects.openai.translate.requests import DIALECT, SPOKEN, Wish
from gridloom_gateway.dialects.openai.translate.responses.items import from_job as response_of
from gridloom_gateway.dialects.openai.translate.responses.requests import RESPONSE
from gridloom_gateway.dialects.openai.wire import jobs as shown
from gridloom_gateway.dialects.openai.wire.errors import Problem

STATUS: Final[dict[State, shown.Status]] = {
    State.HELD: "QUEUED",
    State.QUEUED: "QUEUED",
    State.CLAIMED: "PROCESSING",
    State.RUNNING: "PROCESSING",
    State.SUCCEEDED: "PROCESSED",
    State.FAILED: "FAILED",
    State.CANCELED: "CANCELED",
    State.UNKNOWN: "QUEUED",
}

STATES: Final[dict[str, tuple[State, ...]]] = {
    "QUEUED": (State.HELD, State.QUEUED),
    "PROCESSING": (State.CLAIMED, State.RUNNING),
    "PROCESSED": (State.SUCCEEDED,),
    "FAILED": (State.FAILED,),
    "CANCELED": (State.CANCELED,),
}
_ACTIVE: Final = (State.HELD, State.QUEUED, State.CLAIMED, State.RUNNING)
_NONE: Final = (State.UNKNOWN,)
"""No job is in this state."""


def to_listing(query: shown.ListQuery, account: str) -> jobs.ListJobs:
    """Return the question for one page of the jobs that were submitted here and that nobody waits for."""
    return jobs.ListJobs(
        account=account,
        states=_states(query),
        dialects=(DIALECT,),
        listed=True,
        page=query.page,
        per_page=query.limit,
    )


def from_acceptance(acceptance: jobs.Acceptance, wish: Wish) -> shown.JobEnvelope:
    """Return the answer to a request with `async`."""
    job = acceptance.job
    at = acceptance.created_at or datetime.fromtimestamp(created(job), UTC)
    return shown.JobEnvelope(
        id=ids.as_base32(job),
        status="QUEUED",
        inference_type=INFERENCE_TYPE[wish.kind],
        model=wish.model,
        created=created(job),
        queued_at=moment(at),
    )


def envelope_of(job: jobs.Job) -> shown.JobEnvelope:
    """Return the answer to a retry."""
    return shown.JobEnvelope(
        id=ids.as_base32(job.job),
        status=STATUS[job.state],
        inference_type=INFERENCE_TYPE[job.task.kind],
        model=job.model,
        created=created(job.job),
        queued_at=moment(job.queued_at or job.created_at),
    )


def from_job(job: jobs.Job) -> shown.JobDocument:
    """Return the job as its owner sees it; an output that is elsewhere was fetched before."""
    return shown.JobDocument(
        id=ids.as_base32(job.job),
        status=STATUS[job.state],
        inference_type=INFERENCE_TYPE[job.task.kind],
        model=job.model,
        model_name=job.model,
        created=created(job.job),
        created_on=moment(job.created_at),
        queued_at=moment(job.queued_at or job.created_at),
        attempts=job.attempt,
        started_at=_moment_if_set(job.started_at),
        completed_at=_moment_if_set(job.ended_at),
        latency_ms=_latency_ms(job),
        provider=job.worker,
        queue_position=job.queue_position,
        error=_problem(job),
        visibility=job.echo.get("visibility", UNSET),
        collection=job.echo.get("collection", UNSET),
        data_removed=job.data_removed or UNSET,
        result=UNSET if job.output is None else Raw(result_of(job, job.echo.get(RESPONSE))),
    )


def result_of(job: jobs.Job, repeated: dict[str, Any] | None) -> bytes:
    """Return the answer of a job that succeeded; with `repeated`, what a response says of its request, as a response.

    Raises `FaultError` for what is none.
    """
    return body_of(job) if repeated is None else msgspec.json.encode(response_of(job, repeated))


def from_page(page: jobs.JobPage, query: shown.ListQuery) -> shown.JobList:
    """Return one page of a listing."""
    return shown.JobList(data=[from_job(job) for job in page.jobs], has_more=page.total > query.page * query.limit)


def check_is_spoken(job: jobs.Job) -> None:
    """Raise `NotFound` for a job whose answer has no words that could be followed."""
    if job.task.kind not in SPOKEN:
        raise NotFound("the answer of this job is no text, and has no stream")


def cancellation_of(job: jobs.Job) -> shown.Cancellation:
    """Return the answer to a cancellation."""
    return shown.Cancellation(id=ids.as_base32(job.job), status=STATUS[job.state], canceled=job.state is State.CANCELED)


def moment(at: datetime) -> str:
    """Return a time in UTC with milliseconds and `Z`."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _states(query: shown.ListQuery) -> tuple[State, ...]:
    """Return the states of both filters; where they exclude each other, one that no job has."""
    wanted = STATES[query.status] if query.status else ()
    if not query.active:
        return wanted
    return tuple(state for state in wanted or _ACTIVE if state in _ACTIVE) or _NONE


def _problem(job: jobs.Job) -> Problem | None:
    return problem_of(failure_of(job).fault) if job.state in (State.FAILED, State.CANCELED) else None


def _moment_if_set(at: datetime | None) -> str | None:
    return None if at is None else moment(at)


def _latency_ms(job: jobs.Job) -> int | None:
    if job.started_at is None or job.ended_at is None:
        return None
    return max(0, round((job.ended_at - job.started_at).total_seconds() * 1000))
