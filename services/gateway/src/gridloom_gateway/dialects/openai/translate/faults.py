"""Failures: their statuses and words, and what the end of a job means to whoever waited for its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import structs

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Invalid
from gridloom_domain.job import Reason
from gridloom_gateway.dialects.openai.wire import errors
from gridloom_gateway.reading import Missing

CUT_OFF: Final = Fault(
    code=FaultCode.WORKER_LOST, message="the answer was cut off, and began differently when it was given again"
)
"""What was said cannot be taken back."""

HTTP: Final[dict[FaultCode, int]] = {
    FaultCode.UNAUTHENTICATED: 401,
    FaultCode.FORBIDDEN: 403,
    FaultCode.INVALID: 400,
    FaultCode.UNKNOWN_MODEL: 404,
    FaultCode.NO_CAPACITY: 404,
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

TYPE: Final[dict[FaultCode, str]] = {
    FaultCode.UNAUTHENTICATED: "not_authenticated",
    FaultCode.FORBIDDEN: "forbidden",
    FaultCode.INVALID: "invalid_request",
    FaultCode.UNKNOWN_MODEL: "no_provider",
    FaultCode.NO_CAPACITY: "no_provider",
    FaultCode.NOT_FOUND: "not_found",
    FaultCode.METHOD_NOT_ALLOWED: "method_not_allowed",
    FaultCode.CONFLICT: "conflict",
    FaultCode.TOO_LARGE: "file_too_large",
    FaultCode.UNSUPPORTED_MEDIA: "unsupported_media_type",
    FaultCode.RATE_LIMITED: "rate_limit_exceeded",
    FaultCode.REQUEST_TIMEOUT: "request_timeout",
    FaultCode.UNAVAILABLE: "unavailable",
    FaultCode.UPSTREAM: "upstream_error",
    FaultCode.BAD_OUTPUT: "upstream_error",
    FaultCode.WORKER_LOST: "upstream_error",
    FaultCode.INTERNAL: "server_error",
    FaultCode.UNKNOWN: "server_error",
}

CODE: Final[dict[FaultCode, str | None]] = dict.fromkeys(FaultCode, None) | {
    FaultCode.UNAUTHENTICATED: "invalid_api_key",
    FaultCode.UNKNOWN_MODEL: "model_not_found",
    FaultCode.NO_CAPACITY: "no_provider",
    FaultCode.RATE_LIMITED: "rate_limit_exceeded",
    FaultCode.TOO_LARGE: "file_too_large",
}
"""OpenAI's finer word, where there is one."""

SHOULD_RETRY: Final[dict[FaultCode, str]] = dict.fromkeys(FaultCode, "false") | {
    FaultCode.RATE_LIMITED: "true",
    FaultCode.REQUEST_TIMEOUT: "true",
    FaultCode.UNAVAILABLE: "true",
    FaultCode.INTERNAL: "true",
    FaultCode.UNKNOWN: "true",
}
"""What `x-should-retry` tells OpenAI's clients. A job that failed was tried as often as may help."""

_LONGEST_RETRY_SECONDS: Final = 120.0
"""No client waits longer than that by itself (API.md §2.3, 2): told to try again, it would do so much too soon."""

_MEANINGS: Final[dict[FaultCode, FaultCode]] = {
    # At submission nobody serves the model; of a job that waited, everybody was busy.
    FaultCode.NO_CAPACITY: FaultCode.UNAVAILABLE,
}
_CANCELED: Final[dict[str, tuple[FaultCode, str]]] = {
    Reason.TIMEOUT: (FaultCode.UPSTREAM, "the answer took longer than the job may run"),
    Reason.DEADLINE: (FaultCode.UPSTREAM, "the answer was not there in time"),
    Reason.ACCOUNT_CLOSED: (FaultCode.FORBIDDEN, "the account is closed"),
}
_BUSY_RETRY_SECONDS: Final = 5.0


class TooMany(Invalid):
    """More at once than is taken. inference.club has a word of its own for it."""


class JobFailed(FaultError):
    """The job of a request that waits for its answer ended without one."""

    def __init__(self, fault: Fault, job: str) -> None:
        super().__init__(fault)
        self.job = job


def should_retry(fault: Fault) -> str:
    """Return what to tell clients about trying again."""
    waits_long = (fault.retry_after_seconds or 0.0) > _LONGEST_RETRY_SECONDS
    return "false" if waits_long else SHOULD_RETRY[fault.code]


def failure_of(job: Job) -> JobFailed:
    """Return what a job that failed or was canceled means to whoever waits for its answer."""
    return JobFailed(_FAULTS[job.state](job), job.job)


def from_error(error: FaultError) -> errors.Error:
    """Return the body of an error, also where only its class says what it is called."""
    body = from_fault(error.fault)
    say = _WORDS_OF_CLASSES.get(type(error))
    return body if say is None else structs.replace(body, error=structs.replace(body.error, **say(error.fault)))


def from_fault(fault: Fault) -> errors.Error:
    """Return the body of an error."""
    problem = problem_of(fault)
    return errors.Error(error=problem, detail=problem.message)


def problem_of(fault: Fault) -> errors.Problem:
    """Return what went wrong."""
    return errors.Problem(
        message=fault.message, type=TYPE[fault.code], code=CODE[fault.code], param=fault.field or None
    )


def _failed(job: Job) -> Fault:
    fault = job.error or Fault(code=FaultCode.UPSTREAM, message=job.reason or "the job failed")
    code = _MEANINGS.get(fault.code, fault.code)
    wait = _BUSY_RETRY_SECONDS if code is FaultCode.UNAVAILABLE else fault.retry_after_seconds
    return Fault(code=code, message=fault.message, field=fault.field, retry_after_seconds=wait)


def _canceled(job: Job) -> Fault:
    code, message = _CANCELED.get(job.reason or "", (FaultCode.CONFLICT, "the job was canceled"))
    return Fault(code=code, message=message)


def _missing(fault: Fault) -> dict[str, str]:
    return {"code": f"missing_{(fault.field or '').rpartition('.')[2]}"}


_WORDS_OF_CLASSES: Final[dict[type[FaultError], Callable[[Fault], dict[str, str]]]] = {
    TooMany: lambda _fault: {"type": "too_large"},
    Missing: _missing,
}
_FAULTS: Final = {State.FAILED: _failed, State.CANCELED: _canceled}
