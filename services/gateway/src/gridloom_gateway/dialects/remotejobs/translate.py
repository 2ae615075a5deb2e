"""Between the words of the remote jobs API and the core's. Pure: every decision is a table or a plain mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET

from gridloom_contract import jobs
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.vocabulary import Kind, State
from gridloom_domain import ids
from gridloom_domain.errors import Invalid
from gridloom_gateway.desk import no_such_job
from gridloom_gateway.dialects.remotejobs import wire
from gridloom_gateway.people import Caller
from gridloom_gateway.reading import decoded, is_too_deep

DIALECT: Final = "remotejobs"

STATUS: Final[dict[State, str]] = {
    State.HELD: "queued",
    State.QUEUED: "queued",
    State.CLAIMED: "starting",
    # The only word that is documented (API.md §1.2, 3).
    State.RUNNING: "running",
    State.SUCCEEDED: "finished",
    State.FAILED: "error",
    State.CANCELED: "cancelled",
    State.UNKNOWN: "queued",
}
"""The usual words; an operator may have others."""

HTTP: Final[dict[FaultCode, int]] = {
    FaultCode.UNAUTHENTICATED: 401,
    FaultCode.FORBIDDEN: 403,
    # Old clients look at `success` alone.
    FaultCode.INVALID: 200,
    FaultCode.UNKNOWN_MODEL: 200,
    FaultCode.NO_CAPACITY: 200,
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

_DEFAULT_HOURS: Final = 1.0
_COMMAND_LINE: Final = "commandLine"
_COPY: Final = "copy"
_REFUSED: Final = "Invalid input format"

_command = msgspec.json.Decoder(wire.CommandLine)


def to_words(rows: Iterable[str]) -> dict[State, str]:
    """Return the words for states, some of them from rows like `claimed=booting`. Raises ValueError for other rows."""
    words = dict(STATUS)
    for row in rows:
        state, _, word = row.partition("=")
        if state not in set(State) or not word:
            raise ValueError(f"{row!r} is not `state=word`; states are {', '.join(map(str, STATUS))}")
        words[State(state)] = word
    return words


def to_job_ids(text: str) -> list[str]:
    """Return the ids in a list with commas, each once. Raises `Invalid` for too many.

    What is no id is the id of no job, and left out. Raises the `NotFound` of a job if there is none at all.
    """
    found = list(dict.fromkeys(filter(_is_id, map(str.strip, text.split(",")))))
    if len(found) > wire.MAX_IDS:
        raise Invalid(f"{len(found)} ids are too many, {wire.MAX_IDS} may be asked for at once", "ids")
    if not found:
        raise no_such_job()
    return found


def to_submissions(body: wire.SubmitJob, caller: Caller, job: str, traceparent: str | None) -> list[jobs.Submission]:
    """Return what the core takes in, one for each copy; the first is called `job`, and the others after it.

    Raises `Invalid` for a command line that is none.
    """
    task = to_task(body.command_line)
    seconds = (_DEFAULT_HOURS if body.hours is None else body.hours) * 3600
    return [
        jobs.Submission(
            job=ids.derived(job, copy) if copy else job,
            account=caller.account,
            key=caller.kid,
            dialect=DIALECT,
            model=body.tag,
            task=task,
            priority=caller.priority_boost,
            timeout_seconds=seconds,
            echo={_COMMAND_LINE: body.command_line, _COPY: copy},
            traceparent=traceparent,
        )
        for copy in range(body.copies or 1)
    ]


def to_task(command_line: str) -> jobs.Task:
    """Return what a command line asks. Raises `Invalid`."""
    content = command_line.encode(errors="replace")
    if is_too_deep(content):
        raise Invalid(f"{_COMMAND_LINE}: malformed or nested too deep", _COMMAND_LINE)
    try:
        inputs = decoded(content, _command).inputs
    except Invalid as error:
        raise Invalid(f"{_COMMAND_LINE}: {error.fault.message}", _COMMAND_LINE) from None
    if len(inputs) == 1:
        return jobs.Task(kind=Kind.CHAT, prompt=inputs[0])
    return jobs.Task(kind=Kind.CHAT, inputs=tuple(inputs))


def from_acceptances(acceptances: Sequence[jobs.Acceptance]) -> wire.Submitted:
    """Return the answer to a submission."""
    return wire.Submitted(ids=[ids.as_hex(acceptance.job) for acceptance in acceptances])


def from_job(job: jobs.Job, log: str, words: Mapping[State, str], now: datetime) -> wire.Job:
    """Return the job as its owner sees it."""
    status = words[job.state]
    state = wire.State(
        status=status,
        output_files=[],
        log=log,
        command_line=_command_line(job),
        app=wire.APP,
        error=_error(job) if job.state in {State.FAILED, State.CANCELED} else UNSET,
    )
    return wire.Job(
        vm_status=status,
        states=wire.States(default=state),
        created=job.created_at.isoformat(timespec="seconds"),
        copy=job.echo.get(_COPY, 0) if job.dialect == DIALECT else 0,
        tag=job.model,
        runtime=_runtime(job, now),
    )


def from_fault(fault: Fault) -> wire.Failure:
    """Return the body of an error."""
    is_refused = fault.code is FaultCode.INVALID
    return wire.Failure(error=f"{_REFUSED}: {fault.message}" if is_refused else fault.message)


def _is_id(text: str) -> bool:
    try:
        return bool(ids.from_hex(text))
    except ValueError:
        return False


def _command_line(job: jobs.Job) -> str:
    """Return it byte for byte as it came, or one that would ask the same of a job that came through another API."""
    if job.dialect == DIALECT and isinstance(told := job.echo.get(_COMMAND_LINE), str):
        return told
    return msgspec.json.encode({"inputs": _inputs(job.task)}).decode()


def _inputs(task: jobs.Task) -> list[str]:
    if task.prompt is not None or task.inputs:
        return [task.prompt] if task.prompt is not None else list(task.inputs)
    told: Any = task.messages or (task.raw or {}).get("messages") or ()
    contents = [message.get("content") for message in told if isinstance(message, dict)]
    return [content for content in contents if isinstance(content, str)]


def _error(job: jobs.Job) -> str:
    return job.error.message if job.error else str(job.reason or job.state)


def _runtime(job: jobs.Job, now: datetime) -> int:
    if job.started_at is None:
        return 0
    return max(0, int(((job.ended_at or now) - job.started_at).total_seconds()))
