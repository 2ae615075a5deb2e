"""The job as its owner may see it, made to fit into one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gridloom_contract.base import Message, encode
from gridloom_contract.jobs import Job, JobPage, Task
from gridloom_contract.vocabulary import State
from gridloom_scheduler.record import JobRecord

_SAME_NAME = (
    *("account", "key", "dialect", "model", "state", "created_at", "match", "tag", "priority", "timeout_seconds"),
    *("deadline_at", "node", "reason", "held_until", "attempt", "worker", "served_model", "claimed_at", "started_at"),
    *("ended_at", "output", "output_ref", "finish_reason", "usage", "error", "task_ref", "data_removed"),
    *("listed", "parent", "streamed_characters", "queued_at"),
)


def job_view(record: JobRecord, position: int | None = None, starts_in_seconds: float | None = None) -> Job:
    """Return what the owner sees. The position and the estimate are only there while the job is queued."""
    view = _view(record, _task_of(record))
    if position is None and starts_in_seconds is None:
        return view
    return msgspec.structs.replace(view, queue_position=position, estimated_start_seconds=starts_in_seconds)


def ending_view(record: JobRecord) -> Job:
    """Return what is seen of a job that has ended by who waited for it: all but its input, which they have."""
    return _view(record, Task(kind=record.kind, raw={} if record.is_raw else None))


def _view(record: JobRecord, task: Task) -> Job:
    same: dict[str, Any] = {name: getattr(record, name) for name in _SAME_NAME}
    return Job(
        job=record.id,
        task=task,
        echo=msgspec.json.decode(record.echo),
        attachments=tuple(file.ref for file in record.attachments),
        **same,
    )


def _task_of(record: JobRecord) -> Task:
    """Return the task, or what is known of it without its texts."""
    task = msgspec.json.decode(record.task, type=Task)
    if record.is_raw and task.raw is None:
        return Task(kind=record.kind, raw={})
    return task if task.kind is record.kind else msgspec.structs.replace(task, kind=record.kind)


def fitting(job: Job, most_bytes: int) -> Job:
    """Return the job, without its input if both together do not fit: the answer is what is asked for."""
    if _fits(job, most_bytes):
        return job
    raw: dict[str, Any] | None = None if job.task.raw is None else {}
    return msgspec.structs.replace(job, task=Task(kind=job.task.kind, raw=raw))


def page_of(records: Sequence[JobRecord], total: int, most_bytes: int) -> JobPage:
    """Return a page of jobs; what their dialect kept is left out if it would not fit with it."""
    page = JobPage(jobs=tuple(job_view(record) for record in records), total=total)
    if not _fits(page, most_bytes):
        page = JobPage(jobs=tuple(msgspec.structs.replace(job, echo={}) for job in page.jobs), total=total)
    return page


def start_estimate(position: int, job_seconds: float, slots: int) -> float | None:
    """Return in how many seconds the job at this position may start; None if nobody serves it."""
    return round(position * job_seconds / slots, 1) if slots > 0 else None


def is_queued(record: JobRecord) -> bool:
    """Whether the job has a place in a queue."""
    return record.state is State.QUEUED


def _fits(message: Message, most_bytes: int) -> bool:
    return len(encode(message)) <= most_bytes
