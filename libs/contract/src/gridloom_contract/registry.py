"""One table of everything that crosses the bus: subject, message, answer, who sends, who hears, which stream.

NATS permissions, JSON Schemas, AsyncAPI and the documentation are derived from it; nothing is allowed that is not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import events, fleet, jobs, subjects, work
from .base import Message
from .streams import EVENTS, TOKENS, WORK_STREAMS

GATEWAY = "gateway"
SCHEDULER = "scheduler"
WORKER = "worker"

SERVICES = (GATEWAY, SCHEDULER)
"""The services with a NATS user of their own. Workers come and go; the auth callout admits them one by one."""


@dataclass(frozen=True)
class Channel:
    """One kind of traffic. `subject` has `*` where an id stands; `reply` is set for request and answer."""

    subject: str
    message: type[Message]
    senders: tuple[str, ...]
    hearers: tuple[str, ...]
    reply: type[Message] | None = None
    stream: str | None = None
    for_workers: bool = False
    """Part of the public worker protocol (`proto-schemas/worker-guide.md`)."""


def _asked_by_gateway(subject: str, message: type[Message], reply: type[Message]) -> Channel:
    return Channel(subject, message, (GATEWAY,), (SCHEDULER,), reply)


def _fact(name: str, message: type[Message]) -> Channel:
    return Channel(subjects.events_named(name), message, (SCHEDULER,), (GATEWAY,), stream=EVENTS)


SUBMIT_JOBS = _asked_by_gateway(subjects.JOBS_SUBMIT, jobs.SubmitJobs, jobs.JobsSubmitted)
GET_JOB = _asked_by_gateway(subjects.JOB_GET, jobs.GetJob, jobs.Job)
LIST_JOBS = _asked_by_gateway(subjects.JOBS_LIST, jobs.ListJobs, jobs.JobPage)
CANCEL_JOB = _asked_by_gateway(subjects.JOB_CANCEL, jobs.CancelJob, jobs.Job)
CANCEL_ALL_JOBS = _asked_by_gateway(subjects.JOBS_CANCEL_ALL, jobs.CancelAllJobs, jobs.JobsCanceled)
RETRY_JOB = _asked_by_gateway(subjects.JOB_RETRY, jobs.RetryJob, jobs.Job)
REPRIORITISE_JOB = _asked_by_gateway(subjects.JOB_REPRIORITISE, jobs.ReprioritiseJob, jobs.Job)
GET_TIMELINE = _asked_by_gateway(subjects.JOB_TIMELINE, jobs.GetTimeline, jobs.Timeline)
LIST_MODELS = _asked_by_gateway(subjects.MODELS_LIST, fleet.ListModels, fleet.ModelList)
LIST_WORKERS = _asked_by_gateway(subjects.WORKERS_LIST, fleet.ListWorkers, fleet.WorkerList)
ENROL_WORKER = _asked_by_gateway(subjects.WORKER_ENROL, fleet.EnrolWorker, fleet.WorkerEnrolled)
REVOKE_WORKER = _asked_by_gateway(subjects.WORKER_REVOKE, fleet.RevokeWorker, fleet.WorkerEntry)
DRAIN_WORKER = _asked_by_gateway(subjects.WORKER_DRAIN, fleet.DrainWorker, fleet.WorkerEntry)
KEY_REVOKED = Channel(subjects.KEY_REVOKED, fleet.KeyRevoked, (GATEWAY,), (GATEWAY,))
WAKE = Channel(subjects.SCHEDULER_WAKE, fleet.Wake, (SCHEDULER,), (SCHEDULER,))

HELLO = Channel("wrk.*.*.hello", work.WorkerHello, (WORKER,), (SCHEDULER,), work.Welcome, for_workers=True)
HEARTBEAT = Channel("wrk.*.*.heartbeat", work.WorkerHeartbeat, (WORKER,), (SCHEDULER,), for_workers=True)
REPORT = Channel("wrk.*.*.report", work.WorkReport, (WORKER,), (SCHEDULER,), work.ReportReceipt, for_workers=True)
STOP = Channel(subjects.stop("*"), work.StopWork, (SCHEDULER,), (WORKER,), for_workers=True)
CONTROL = Channel(subjects.control("*"), work.WorkerControl, (SCHEDULER,), (WORKER,), for_workers=True)
ORDERS = tuple(
    Channel(f"work.{lane}.*.*.*", work.WorkOrder, (SCHEDULER,), (WORKER,), stream=stream, for_workers=True)
    for lane, stream in WORK_STREAMS.items()
)
TOKEN_CHUNKS = Channel("tok.*.*", work.TokenChunk, (WORKER,), (), stream=TOKENS, for_workers=True)
LIVE_CHUNKS = Channel(subjects.live("*"), work.TokenChunk, (), (GATEWAY,))
"""`TOKEN_CHUNKS` as the server republishes them; nobody else may publish there."""

FACTS: dict[type[Message], Channel] = {
    message: _fact(name, message)
    for name, message in (
        ("accepted", events.JobAccepted),
        ("held", events.JobHeld),
        ("released", events.JobReleased),
        ("assigned", events.JobAssigned),
        ("started", events.JobStarted),
        ("requeued", events.JobRequeued),
        ("reprioritised", events.JobReprioritised),
        ("retried", events.JobRetried),
        ("finished", events.JobFinished),
    )
}

CHANNELS: tuple[Channel, ...] = (
    SUBMIT_JOBS,
    GET_JOB,
    LIST_JOBS,
    CANCEL_JOB,
    CANCEL_ALL_JOBS,
    RETRY_JOB,
    REPRIORITISE_JOB,
    GET_TIMELINE,
    LIST_MODELS,
    LIST_WORKERS,
    ENROL_WORKER,
    REVOKE_WORKER,
    DRAIN_WORKER,
    KEY_REVOKED,
    WAKE,
    HELLO,
    HEARTBEAT,
    REPORT,
    STOP,
    CONTROL,
    *ORDERS,
    TOKEN_CHUNKS,
    LIVE_CHUNKS,
    *FACTS.values(),
)

COLLECTIONS: dict[str, tuple[str, ...]] = {
    GATEWAY: ("accounts", "api_keys", "idempotency_keys"),
    SCHEDULER: ("jobs", "workers", "models"),
}
"""Who owns which MongoDB collection: its sole writer, and its only reader too."""


def fact_subject(fact: events.JobEvent) -> str:
    """Return the subject on which this fact about its job is published."""
    return FACTS[type(fact)].subject.removesuffix("*") + fact.job
