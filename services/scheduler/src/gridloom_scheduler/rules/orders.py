"""What the owner's orders do to a job in the state it is in: cancel, retry, reprioritise. `None` = nothing to do."""

from __future__ import annotations

from gridloom_contract.jobs import CancelJob, ReprioritiseJob, RetryJob
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Conflict, Invalid, NotFound
from gridloom_domain.job import is_terminal, is_waiting
from gridloom_domain.lanes import lane_of
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change, Moment
from gridloom_scheduler.rules.submission import PRIORITY_LIMIT

_LONGEST_REASON = 64


def owned(job: JobRecord | None, account: str) -> JobRecord:
    """Return the job if this account owns it. Raises `NotFound`, the same whether it is missing or another's."""
    if job is None or job.account != account:
        raise NotFound("there is no such job")
    return job


def cancel(job: JobRecord, order: CancelJob, moment: Moment) -> Change | None:
    """Cancel the job; one that has ended stays so. Raises `Conflict` if only a waiting job was to be canceled."""
    if order.waiting_only and not is_waiting(job.state):
        raise Conflict(f"the job is {job.state}, not waiting")
    if is_terminal(job.state):
        return None
    return transitions.canceled(job, order.reason[:_LONGEST_REASON], moment)


def retry(job: JobRecord, order: RetryJob, fair: float, moment: Moment) -> Change:
    """Run an ended job again. Raises `Conflict` unless it failed or was canceled."""
    check_retry(job)
    return transitions.retried(job, fair, moment, order.sealed_key)


def check_retry(job: JobRecord) -> None:
    """Raise `Conflict` unless the job failed or was canceled."""
    if job.state not in (State.FAILED, State.CANCELED):
        raise Conflict(f"the job is {job.state}; only a failed or canceled one can be retried")
    if job.data_removed:
        raise Conflict("the job's input was removed at the end of its retention; it cannot be retried")


def moved(job: JobRecord, order: ReprioritiseJob) -> int:
    """Return the priority the job shall have. Raises `Conflict` once it is not waiting, `Invalid` beyond the limit."""
    if not is_waiting(job.state):
        raise Conflict(f"the job is {job.state}, not waiting")
    priority = job.priority + order.delta
    if abs(priority) > PRIORITY_LIMIT:
        raise Invalid(f"priority {priority} is beyond ±{PRIORITY_LIMIT}", "priority")
    return priority


def reprioritise(job: JobRecord, priority: int, fair: float, moment: Moment) -> Change:
    """Move a waiting job to another priority, and with it perhaps to another lane."""
    lane = lane_of(priority, sync=job.sync, batch=job.batch)
    return transitions.reprioritised(job, priority, lane, fair, moment)
