"""Holds: how jobs are kept back and let go, and how long they wait for capacity. Transitions, each one `Change`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from gridloom_contract import events
from gridloom_contract.vocabulary import State
from gridloom_domain.budgets import HeldUntil
from gridloom_domain.job import Reason
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change, Facts, Moment


def over_quota(job: JobRecord, held: HeldUntil, moment: Moment) -> Change:
    """The account's quota has no room for the job's tokens before a certain time, unless somebody says so.

    A quota refuses nothing: what nobody waits for on the line does not wait for capacity meanwhile. Who does wait waits
    for what running jobs may give back, and not at all if that cannot be enough in time.
    """
    facts = Facts(job, moment)
    facts.state(events.JobHeld, reason=Reason.QUOTA, until=held.until)
    patience = _patience(job, held, moment) if job.sync else no_more_waiting(job)
    return facts.change(**patience, state=State.HELD, reason=Reason.QUOTA, held_until=held.until)


def _patience(job: JobRecord, held: HeldUntil, moment: Moment) -> dict[str, Any]:
    if job.capacity_at is None or held.spent_until is None or held.spent_until <= job.capacity_at:
        return {}
    return {"capacity_at": moment.at}


def thawed(job: JobRecord, fair: float, moment: Moment) -> Change:
    """There may be room for a job that was held for its account's quota: it has a place in fair time again."""
    change = released(job, moment)
    patience = {} if job.sync else waiting_again(job, moment)
    return replace(change, values={**change.values, **patience, "fair": fair})


def released(job: JobRecord, moment: Moment) -> Change:
    """What a held job waited for is over; it waits for a worker now, or still for its files."""
    facts = Facts(job, moment)
    facts.state(events.JobReleased, reason=job.reason or Reason.BACKOFF)
    if job.reason != Reason.BLOB and job.files_until is not None and job.files_until > moment.at:
        facts.state(events.JobHeld, reason=Reason.BLOB, until=job.files_until)
        return facts.change(reason=Reason.BLOB, held_until=job.files_until)
    return facts.change(**no_more_files(job), state=State.QUEUED, reason=None, held_until=None)


def no_more_files(job: JobRecord) -> dict[str, Any]:
    """Return what changes in a job that does not wait for files any more."""
    return {} if job.files_until is None else {"files_until": None}


def no_more_waiting(job: JobRecord) -> dict[str, Any]:
    """Return what changes in a job that does not wait for capacity any more."""
    return {} if job.capacity_at is None else {"capacity_at": None}


def waiting_again(job: JobRecord, moment: Moment) -> dict[str, Any]:
    """Return what changes in a job whose wait for capacity begins anew."""
    if job.capacity_wait_seconds is None:
        return {}
    return {"capacity_at": moment.at + timedelta(seconds=job.capacity_wait_seconds)}
