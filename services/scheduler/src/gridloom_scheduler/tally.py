"""The tally: counts and logs what happened to jobs, once everything that follows from it is on its way.

Nobody waits for that, so it is done for several jobs together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gridloom_contract.events import JobAssigned, JobFinished, JobHeld, JobRequeued
from gridloom_contract.fault import FaultCode
from gridloom_contract.vocabulary import State
from gridloom_kit.log import get_logger
from gridloom_scheduler import metrics
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change

log = get_logger()

_AFTER_SECONDS = 0.02

_SYSTEM_FAULTS = frozenset({FaultCode.WORKER_LOST, FaultCode.INTERNAL, FaultCode.UNAVAILABLE, FaultCode.NO_CAPACITY})
_USER_FAULTS = frozenset({FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA})


class Tally:
    """Metrics and log lines, and what is learned from answers."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._jobs: list[JobRecord] = []
        self._changes: list[Change] = []
        self._timer: asyncio.TimerHandle | None = None

    def accepted(self, jobs: Sequence[JobRecord]) -> None:
        """Count new jobs, soon."""
        self._jobs += jobs
        self._soon()

    def changed(self, changes: Sequence[Change]) -> None:
        """Count and log changes that are stored, soon."""
        self._changes += changes
        self._soon()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AFTER_SECONDS, self._count)

    def _count(self) -> None:
        jobs, changes = self._jobs, self._changes
        self._jobs, self._changes, self._timer = [], [], None
        for job in jobs:
            metrics.jobs_submitted.labels(self._catalogue.label(job.model), self._catalogue.kind_of(job.model)).inc()
        for change in changes:
            self._count_one(change)

    def _count_one(self, change: Change) -> None:
        after = change.after
        model = self._catalogue.label(after.model)
        for fact in change.facts:
            if isinstance(fact, JobAssigned):
                metrics.queue_wait_seconds.labels(model).observe(fact.waited_ms / 1000)
                log.info(
                    "job.assigned", job=after.id, worker=fact.worker, attempt=after.attempt, waited_ms=fact.waited_ms
                )
            elif isinstance(fact, JobRequeued):
                metrics.job_attempts.labels(fact.reason).inc()
                log.info("job.requeued", job=after.id, worker=fact.worker, attempt=fact.attempt, reason=fact.reason)
            elif isinstance(fact, JobHeld):
                metrics.jobs_held.labels(fact.reason).inc()
            elif isinstance(fact, JobFinished):
                self._learn(after)
                metrics.jobs_terminal.labels(model, str(fact.state), _blame(after)).inc()
                log.info("job.finished", job=after.id, state=str(fact.state), reason=fact.reason, attempt=after.attempt)

    def _learn(self, job: JobRecord) -> None:
        """Learn from a whole answer how long those of its model usually are."""
        if job.usage is not None and job.state is State.SUCCEEDED and job.finish_reason != "length":
            self._catalogue.usual_output.saw(job.model, job.usage.tokens_out)


def _blame(job: JobRecord) -> str:
    if job.error is None:
        return ""
    if job.error.code in _SYSTEM_FAULTS:
        return "system"
    return "user" if job.error.code in _USER_FAULTS else "worker"
