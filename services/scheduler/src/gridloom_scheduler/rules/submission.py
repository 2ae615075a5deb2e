"""From a submission to a job: what is refused and why, and the first document of what is accepted."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from gridloom_contract import events
from gridloom_contract.jobs import MAX_INLINE_BYTES, Submission
from gridloom_contract.vocabulary import Kind, Match, State
from gridloom_domain.errors import Invalid, TooLarge, UnknownModel
from gridloom_domain.ids import from_hex
from gridloom_domain.lanes import lane_of
from gridloom_domain.tokens import text_characters
from gridloom_scheduler.record import InputSize, JobRecord
from gridloom_scheduler.rules.changes import Moment
from gridloom_scheduler.rules.fairness import Queue, cost_of
from gridloom_scheduler.rules.routes import route_of

_BYTES_PER_TOKEN = 4
"""Of a task that is kept elsewhere only the size is known; what counts for fairness is no more than a guess anyway."""
_MOST_NAMED_MODELS = 20
PRIORITY_LIMIT = 1_000_000
_CANNOT = {
    Kind.CHAT: "cannot chat",
    Kind.COMPLETION: "cannot complete texts",
    Kind.EMBEDDING: "cannot make embeddings",
}
_SAME_NAME = (
    *("account", "key", "dialect", "model", "match", "priority", "listed", "tag", "sync", "batch", "node", "parent"),
    "waiter",
    *("max_attempts", "timeout_seconds", "deadline_at", "capacity_wait_seconds", "traceparent", "task_ref"),
)
_LONGEST_TIMEOUT_SECONDS = 30 * 86_400.0
_MOST_ATTEMPTS = 100


def draft_of(submission: Submission, family: str, moment: Moment) -> JobRecord:
    """Return the job as it would be accepted, not yet placed in fair time (`fair` is 0).

    `family` is that of the model. Raises `Invalid` or `TooLarge` if the submission cannot be carried out.
    """
    task, echo = msgspec.json.encode(submission.task), msgspec.json.encode(submission.echo)
    _check_sizes(len(task), len(echo))
    _check_ranges(submission)
    wait_seconds = submission.capacity_wait_seconds
    return JobRecord(
        **{name: getattr(submission, name) for name in _SAME_NAME},
        id=submission.job,
        family=family,
        route=route_of(submission.match, submission.model, family, submission.node),
        task=task.decode(),
        echo=echo.decode(),
        state=State.QUEUED,
        created_at=moment.at,
        queued_at=moment.at,
        lane=lane_of(submission.priority, sync=submission.sync, batch=submission.batch),
        fair=0.0,
        cost=cost_of(submission.task) + submission.task_bytes / _BYTES_PER_TOKEN,
        seq=1,
        published=0,
        kind=submission.task.kind,
        is_raw=submission.task.raw is not None,
        expires_at=submission.deadline_at,
        capacity_at=None if wait_seconds is None else moment.at + timedelta(seconds=wait_seconds),
        has_webhook=submission.webhook is not None,
        holds_keys=submission.webhook is not None,
        input_size=_size_of(submission, len(task)),
        unpublished_since=moment.at,
        events=(_accepted(submission, moment),),
    )


def queue_of(job: JobRecord) -> Queue:
    """Return the queue in which the job waits."""
    return Queue(job.route, job.priority)


def unknown_model(model: str, known: list[str]) -> UnknownModel:
    """Return the fault for a model nobody ever offered, naming those that exist."""
    named = ", ".join(sorted(known)[:_MOST_NAMED_MODELS]) or "none yet"
    more = ", …" if len(known) > _MOST_NAMED_MODELS else ""
    return UnknownModel(f"unknown model {model[:200]!r}; known models: {named}{more}", "model")


def unfit_model(model: str, kind: Kind) -> Invalid:
    """Return the fault for a model that is for something else."""
    return Invalid(f"the model {model[:200]!r} {_CANNOT.get(kind, 'cannot do that')}", "model")


def _accepted(submission: Submission, moment: Moment) -> events.JobAccepted:
    return events.JobAccepted(
        job=submission.job,
        account=submission.account,
        seq=1,
        at=moment.at,
        id=moment.id,
        model=submission.model,
        priority=submission.priority,
        tag=submission.tag,
        webhook=submission.webhook,
    )


def _size_of(submission: Submission, task_bytes: int) -> InputSize:
    if submission.task_ref is not None:
        return InputSize(text_characters=None, task_bytes=submission.task_bytes)
    return InputSize(text_characters=text_characters(submission.task), task_bytes=task_bytes)


def _check_sizes(task_bytes: int, echo_bytes: int) -> None:
    """Task, echo and output, each at its largest, and all else of a job fit one message together."""
    for size, name in ((task_bytes, "task"), (echo_bytes, "echo")):
        if size > MAX_INLINE_BYTES:
            message = f"the job's {name} has {size} bytes, {MAX_INLINE_BYTES} are taken in a message"
            raise TooLarge(message, "prompt" if name == "task" else None)


def _check_ranges(submission: Submission) -> None:
    try:
        from_hex(submission.job)
    except ValueError as error:
        raise Invalid(str(error), "job") from error
    if submission.match is Match.UNKNOWN:
        raise Invalid("the match must be exact or family", "match")
    if abs(submission.priority) > PRIORITY_LIMIT:
        raise Invalid(f"priority {submission.priority} is beyond ±{PRIORITY_LIMIT}", "priority")
    if not 0 < submission.timeout_seconds <= _LONGEST_TIMEOUT_SECONDS:
        raise Invalid(f"a timeout of {submission.timeout_seconds} s is not between 0 and 30 days", "timeout_seconds")
    wait_seconds = submission.capacity_wait_seconds
    if wait_seconds is not None and not 0 < wait_seconds <= _LONGEST_TIMEOUT_SECONDS:
        raise Invalid(f"a wait of {wait_seconds} s is not between 0 and 30 days", "capacity_wait_seconds")
    if not 1 <= submission.max_attempts <= _MOST_ATTEMPTS:
        raise Invalid(f"max_attempts {submission.max_attempts} is not between 1 and {_MOST_ATTEMPTS}", "max_attempts")
