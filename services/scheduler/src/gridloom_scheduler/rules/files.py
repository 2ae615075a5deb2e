"""What the blob service orders of a job: wait for a file, take one, forget all data. `None` = nothing to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gridloom_contract import events
from gridloom_contract.blobs import AttachBlob, HoldJob
from gridloom_contract.jobs import Submission
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Conflict, Invalid
from gridloom_domain.job import Reason, is_terminal, is_waiting
from gridloom_scheduler.record import AttachedFile, JobRecord
from gridloom_scheduler.rules.changes import Change, Facts, Moment
from gridloom_scheduler.rules.holds import no_more_files

_NOTHING_LEFT: dict[str, Any] = {
    "task": "{}",
    "echo": None,
    "output": None,
    "output_ref": None,
    "task_ref": None,
    "attachments": None,
    "data_removed": True,
}


_MOST_FILES = 64


@dataclass(frozen=True)
class FileTerms:
    """How long a new job waits: for files that it is sure to get, and for the slot of one that it may get."""

    sure_seconds: float = 900.0
    perhaps_seconds: float = 2.0

    def wait_seconds(self, submission: Submission, *, takes_images: bool) -> float:
        """Return how long the job is held. Raises `Invalid` if it is to get impossibly many files."""
        if not 0 <= submission.files <= _MOST_FILES:
            raise Invalid(f"a job cannot get {submission.files} files: at most {_MOST_FILES}", "files")
        if submission.files:
            return self.sure_seconds
        return self.perhaps_seconds if submission.may_get_files and takes_images else 0.0


def held_from_start(job: JobRecord, files: int, wait_seconds: float, moment: Moment) -> JobRecord:
    """Return a new job as one that waits for its files."""
    until = moment.at + timedelta(seconds=wait_seconds)
    facts = Facts(job, moment)
    facts.state(events.JobHeld, reason=Reason.BLOB, until=until)
    held = facts.change(state=State.HELD, reason=Reason.BLOB, held_until=until, files_until=until, files=files).after
    accepted, *later = held.events
    return msgspec.structs.replace(held, events=(msgspec.structs.replace(accepted, state=State.HELD), *later))


def hold(job: JobRecord, order: HoldJob, moment: Moment) -> Change | None:
    """Keep a waiting job back for a file, beside whatever else it waits for.

    Raises `Conflict` once it does not wait, `Invalid` for another reason than a file.
    """
    if order.reason != Reason.BLOB:
        raise Invalid(f"no job is held for {order.reason[:64]!r} by order", "reason")
    _check_waits(job)
    if job.files_until is not None and job.files_until >= order.until:
        return None
    facts = Facts(job, moment)
    facts.state(events.JobHeld, reason=Reason.BLOB, until=order.until)
    if job.state is State.HELD and job.reason != Reason.BLOB:
        return facts.change(files_until=order.until)
    return facts.change(state=State.HELD, reason=Reason.BLOB, held_until=order.until, files_until=order.until)


def attach(job: JobRecord, order: AttachBlob, moment: Moment) -> Change | None:
    """Give a waiting job a file; if it is the last one the job waits for a worker, or for what else it waits for.

    Raises `Conflict` once the job does not wait, unless it has the file already.
    """
    facts, files = Facts(job, moment), job.attachments
    if all(file.ref != order.ref for file in files):
        _check_waits(job)
        files = (*files, AttachedFile(ref=order.ref, content_type=order.content_type))
        facts.state(events.JobAttached, ref=order.ref, content_type=order.content_type)
    elif job.files_until is None or job.state is not State.HELD:
        return None
    if not order.release or len(files) < job.files:
        return facts.change(attachments=files) if files is not job.attachments else None
    return facts.change(attachments=files, **_let_go(job, facts))


def _let_go(job: JobRecord, facts: Facts) -> dict[str, Any]:
    if job.state is not State.HELD:
        return no_more_files(job)
    if job.reason != Reason.BLOB:
        facts.state(events.JobHeld, reason=job.reason or Reason.GATE, until=job.held_until)
        return no_more_files(job)
    facts.state(events.JobReleased, reason=Reason.BLOB)
    return {**no_more_files(job), "state": State.QUEUED, "reason": None, "held_until": None}


def keeps_data(job: JobRecord, ended_before: datetime | None) -> bool:
    """Whether an order to forget jobs that ended before this time leaves the job alone."""
    if not is_terminal(job.state):
        return True
    return ended_before is not None and job.ended_at is not None and job.ended_at > ended_before


def purged(job: JobRecord, moment: Moment) -> Change:
    """An ended job is all that is left of it: what went in and what came out is forgotten."""
    facts = Facts(job, moment)
    facts.state(events.JobPurged)
    return facts.change(**_NOTHING_LEFT)


def _check_waits(job: JobRecord) -> None:
    if not is_waiting(job.state):
        raise Conflict(f"the job is {job.state}, not waiting")
