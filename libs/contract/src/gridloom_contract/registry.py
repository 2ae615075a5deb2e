"""One table of everything that crosses the bus: subject, message, answer, who sends, who hears, which stream.

NATS permissions, JSON Schemas, AsyncAPI and the documentation are derived from it; nothing is allowed that is not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridloom_contract import batches, blobs, events, files, fleet, jobs, quota, subjects, usage, webhooks, work
from gridloom_contract.base import Message
from gridloom_contract.streams import EVENTS, LANES, TOKENS, WORK_STREAMS

GATEWAY = "gateway"
SCHEDULER = "scheduler"
QUOTA = "quota"
USAGE = "usage"
WEBHOOK = "webhook"
BLOB = "blob"
WORKER = "worker"

SERVICES = (GATEWAY, SCHEDULER, QUOTA, USAGE, WEBHOOK, BLOB)
"""The services with a NATS user of their own. Workers come and go; the auth callout admits them one by one."""


@dataclass(frozen=True)
class Channel:
    """One kind of traffic. `subject` has `*` where an id stands; `reply` is set for request and answer.

    `hearers` subscribe and hear what is said while they listen; `consumers` read the stream at their own pace.
    """

    subject: str
    message: type[Message]
    senders: tuple[str, ...]
    hearers: tuple[str, ...]
    reply: type[Message] | None = None
    stream: str | None = None
    consumers: tuple[str, ...] = ()
    for_workers: bool = False
    """Part of the public worker protocol (`proto-schemas/worker-guide.md`)."""


def _asked_by_gateway(subject: str, message: type[Message], reply: type[Message]) -> Channel:
    return Channel(subject, message, (GATEWAY,), (SCHEDULER,), reply)


def _asked(sender: str, hearer: str, subject: str, message: type[Message], reply: type[Message]) -> Channel:
    return Channel(subject, message, (sender,), (hearer,), reply)


def _fact(name: str, message: type[Message], consumers: tuple[str, ...]) -> Channel:
    subject = subjects.events_named(name)
    return Channel(subject, message, (SCHEDULER,), (GATEWAY,), stream=EVENTS, consumers=consumers)


SUBMIT_JOBS = _asked_by_gateway(subjects.JOBS_SUBMIT, jobs.SubmitJobs, jobs.JobsSubmitted)
GET_JOB = Channel(subjects.JOB_GET, jobs.GetJob, (GATEWAY, BLOB), (SCHEDULER,), jobs.Job)
JOB_ENDED = Channel(subjects.ended("*", "*"), jobs.Job, (SCHEDULER,), (GATEWAY,))
"""Said once of a job for which somebody waits, without its input: it saves the question. The fact is what is kept."""
GET_JOBS = _asked_by_gateway(subjects.JOBS_GET, jobs.GetJobs, jobs.JobsFound)
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
KEY_REVOKED = Channel(subjects.KEY_REVOKED, fleet.KeyRevoked, (GATEWAY,), (GATEWAY, WEBHOOK))
WAKE = Channel(subjects.SCHEDULER_WAKE, fleet.Wake, (SCHEDULER,), (SCHEDULER,))

PUT_PLAN = _asked(GATEWAY, QUOTA, subjects.QUOTA_PLAN_PUT, quota.PutPlan, quota.Plan)
DELETE_PLAN = _asked(GATEWAY, QUOTA, subjects.QUOTA_PLAN_DELETE, quota.DeletePlan, quota.Plan)
LIST_PLANS = _asked(GATEWAY, QUOTA, subjects.QUOTA_PLANS_LIST, quota.ListPlans, quota.PlanList)
ASSIGN_PLAN = _asked(GATEWAY, QUOTA, subjects.QUOTA_PLAN_ASSIGN, quota.AssignPlan, quota.AccountQuota)
GET_QUOTA = Channel(subjects.QUOTA_GET, quota.GetQuota, (GATEWAY, BLOB), (QUOTA,), quota.AccountQuota)
VERIFY_QUOTA = _asked(GATEWAY, QUOTA, subjects.QUOTA_VERIFY, quota.VerifyQuota, quota.VerifyReport)
TAKE_RATE = _asked(GATEWAY, QUOTA, subjects.QUOTA_RATE_TAKE, quota.TakeRate, quota.RateTaken)
TAKE_GRANTS = _asked(SCHEDULER, QUOTA, subjects.QUOTA_GRANTS_TAKE, quota.TakeGrants, quota.GrantsTaken)
RETURN_GRANTS = _asked(SCHEDULER, QUOTA, subjects.QUOTA_GRANTS_RETURN, quota.ReturnGrants, quota.GrantsReturned)
QUOTA_RELEASED = Channel(subjects.QUOTA_RELEASED, quota.QuotaReleased, (QUOTA,), (SCHEDULER,))
PLAN_CHANGED = Channel(subjects.QUOTA_PLAN_CHANGED, quota.PlanChanged, (QUOTA,), (GATEWAY, SCHEDULER, BLOB))

GET_USAGE = _asked(GATEWAY, USAGE, subjects.USAGE_GET, usage.GetUsage, usage.UsageReport)
GET_USAGE_LINE = _asked(GATEWAY, USAGE, subjects.USAGE_LINE_GET, usage.GetUsageLine, usage.UsageLine)
VERIFY_USAGE = _asked(GATEWAY, USAGE, subjects.USAGE_VERIFY, usage.VerifyUsage, quota.VerifyReport)
LEDGER_TOTALS = _asked(QUOTA, USAGE, subjects.USAGE_LEDGER_TOTALS, usage.LedgerTotals, usage.LedgerTotalsReport)
LIST_ENDINGS = _asked(USAGE, SCHEDULER, subjects.JOBS_ENDINGS, usage.ListEndings, usage.EndingPage)

RENDER_JOB = _asked(WEBHOOK, GATEWAY, subjects.JOB_RENDER, webhooks.RenderJob, webhooks.RenderedJob)
GET_WEBHOOK_SECRET = _asked(
    GATEWAY, WEBHOOK, subjects.WEBHOOK_SECRET, webhooks.GetWebhookSecret, webhooks.WebhookSecret
)
LIST_DELIVERIES = _asked(GATEWAY, WEBHOOK, subjects.WEBHOOK_DELIVERIES, webhooks.ListDeliveries, webhooks.DeliveryPage)
REPLAY_DELIVERIES = _asked(
    GATEWAY, WEBHOOK, subjects.WEBHOOK_REPLAY, webhooks.ReplayDeliveries, webhooks.DeliveriesReplayed
)
VERIFY_WEBHOOK = _asked(GATEWAY, WEBHOOK, subjects.WEBHOOK_VERIFY, webhooks.VerifyWebhook, webhooks.WebhookVerified)

CREATE_BLOB = _asked(GATEWAY, BLOB, subjects.BLOB_CREATE, blobs.CreateBlob, blobs.BlobSlot)
CONFIRM_BLOB = _asked(GATEWAY, BLOB, subjects.BLOB_CONFIRM, blobs.ConfirmBlob, blobs.BlobConfirmed)
RESERVE_OBJECT = Channel(
    subjects.BLOB_RESERVE, blobs.ReserveObject, (GATEWAY, SCHEDULER), (BLOB,), blobs.ObjectReserved
)
PRESIGN_OBJECTS = Channel(
    subjects.BLOB_PRESIGN, blobs.PresignObjects, (GATEWAY, SCHEDULER, WEBHOOK), (BLOB,), blobs.ObjectsPresigned
)
HOLD_JOB = _asked(BLOB, SCHEDULER, subjects.JOB_HOLD, blobs.HoldJob, jobs.Job)
ATTACH_BLOB = _asked(BLOB, SCHEDULER, subjects.JOB_ATTACH, blobs.AttachBlob, jobs.Job)
PURGE_JOB_DATA = _asked(BLOB, SCHEDULER, subjects.JOBS_DATA_PURGE, blobs.PurgeJobData, blobs.JobDataPurged)

CREATE_BATCH = _asked_by_gateway(subjects.BATCH_CREATE, batches.CreateBatch, batches.Batch)
GET_BATCH = _asked_by_gateway(subjects.BATCH_GET, batches.GetBatch, batches.Batch)
LIST_BATCHES = _asked_by_gateway(subjects.BATCHES_LIST, batches.ListBatches, batches.BatchPage)
CANCEL_BATCH = _asked_by_gateway(subjects.BATCH_CANCEL, batches.CancelBatch, batches.Batch)
WITHDRAW_BATCH = _asked_by_gateway(subjects.BATCH_WITHDRAW, batches.WithdrawBatch, batches.Batch)
LEASE_BATCH = _asked_by_gateway(subjects.BATCH_LEASE, batches.LeaseBatch, batches.BatchLeased)
NOTE_BATCH = _asked_by_gateway(subjects.BATCH_NOTE, batches.NoteBatch, batches.Batch)
BATCH_DONE = _asked_by_gateway(subjects.BATCH_DONE, batches.BatchDone, batches.Batch)

CREATE_FILE = _asked(GATEWAY, BLOB, subjects.FILE_CREATE, files.CreateFile, files.FileSlot)
GET_FILE = _asked(GATEWAY, BLOB, subjects.FILE_GET, files.GetFile, files.FileEntry)
LIST_FILES = _asked(GATEWAY, BLOB, subjects.FILES_LIST, files.ListFiles, files.FilePage)
DELETE_FILE = _asked(GATEWAY, BLOB, subjects.FILE_DELETE, files.DeleteFile, files.FileEntry)

HELLO = Channel("wrk.*.*.hello", work.WorkerHello, (WORKER,), (SCHEDULER,), work.Welcome, for_workers=True)
HEARTBEAT = Channel("wrk.*.*.heartbeat", work.WorkerHeartbeat, (WORKER,), (SCHEDULER,), for_workers=True)
UPLOAD = Channel("wrk.*.*.upload", work.AskUpload, (WORKER,), (SCHEDULER,), work.UploadSlot, for_workers=True)
REPORT = Channel("wrk.*.*.report", work.WorkReport, (WORKER,), (SCHEDULER,), work.ReportReceipt, for_workers=True)
STOP = Channel(subjects.stop("*"), work.StopWork, (SCHEDULER,), (WORKER,), for_workers=True)
CONTROL = Channel(subjects.control("*"), work.WorkerControl, (SCHEDULER,), (WORKER,), for_workers=True)
ORDERS = tuple(
    Channel(f"work.{lane}.*.*.*", work.WorkOrder, (SCHEDULER,), (), stream=stream)
    for lane, stream in WORK_STREAMS.items()
)
DELIVERED_ORDERS = tuple(
    Channel(subjects.order("*", lane), work.WorkOrder, (), (WORKER,), for_workers=True) for lane in LANES
)
"""`ORDERS` as the server delivers them, each to the worker it is for; nobody else may publish there."""
TOKEN_CHUNKS = Channel("tok.*.*", work.TokenChunk, (WORKER,), (), stream=TOKENS, for_workers=True)
LIVE_CHUNKS = Channel(subjects.live("*"), work.TokenChunk, (), (GATEWAY,))
"""`TOKEN_CHUNKS` as the server republishes them; nobody else may publish there."""

FACTS: dict[type[Message], Channel] = {
    message: _fact(name, message, consumers)
    for name, message, consumers in (
        ("accepted", events.JobAccepted, ()),
        ("held", events.JobHeld, ()),
        ("released", events.JobReleased, ()),
        ("attached", events.JobAttached, ()),
        ("assigned", events.JobAssigned, ()),
        ("started", events.JobStarted, ()),
        ("requeued", events.JobRequeued, (QUOTA,)),
        ("reprioritised", events.JobReprioritised, ()),
        ("retried", events.JobRetried, ()),
        ("finished", events.JobFinished, (QUOTA, USAGE, BLOB)),
        ("purged", events.JobPurged, ()),
    )
}

HOOKED_FACTS: dict[type[Message], Channel] = {
    message: _fact(f"{name}_hooked", message, consumers)
    for name, message, consumers in (
        ("accepted", events.JobAccepted, (WEBHOOK,)),
        ("started", events.JobStarted, (WEBHOOK,)),
        ("retried", events.JobRetried, (WEBHOOK,)),
        ("finished", events.JobFinished, (QUOTA, USAGE, WEBHOOK, BLOB)),
    )
}
"""The same facts about jobs that have a webhook: of all others the webhook service hears nothing."""

RESERVING_FACTS: dict[type[Message], Channel] = {
    events.JobAssigned: _fact("assigned_reserving", events.JobAssigned, (QUOTA,)),
}
"""The same facts where tokens of a quota are reserved: of all others the quota service has nothing to book."""

CHANNELS: tuple[Channel, ...] = (
    SUBMIT_JOBS,
    GET_JOB,
    JOB_ENDED,
    GET_JOBS,
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
    PUT_PLAN,
    DELETE_PLAN,
    LIST_PLANS,
    ASSIGN_PLAN,
    GET_QUOTA,
    VERIFY_QUOTA,
    TAKE_RATE,
    TAKE_GRANTS,
    RETURN_GRANTS,
    QUOTA_RELEASED,
    PLAN_CHANGED,
    GET_USAGE,
    GET_USAGE_LINE,
    VERIFY_USAGE,
    LEDGER_TOTALS,
    LIST_ENDINGS,
    RENDER_JOB,
    GET_WEBHOOK_SECRET,
    LIST_DELIVERIES,
    REPLAY_DELIVERIES,
    VERIFY_WEBHOOK,
    CREATE_BLOB,
    CONFIRM_BLOB,
    RESERVE_OBJECT,
    PRESIGN_OBJECTS,
    HOLD_JOB,
    ATTACH_BLOB,
    PURGE_JOB_DATA,
    CREATE_BATCH,
    GET_BATCH,
    LIST_BATCHES,
    CANCEL_BATCH,
    WITHDRAW_BATCH,
    LEASE_BATCH,
    NOTE_BATCH,
    BATCH_DONE,
    CREATE_FILE,
    GET_FILE,
    LIST_FILES,
    DELETE_FILE,
    HELLO,
    HEARTBEAT,
    REPORT,
    UPLOAD,
    STOP,
    CONTROL,
    *ORDERS,
    *DELIVERED_ORDERS,
    TOKEN_CHUNKS,
    LIVE_CHUNKS,
    *FACTS.values(),
    *HOOKED_FACTS.values(),
    *RESERVING_FACTS.values(),
)

COLLECTIONS: dict[str, tuple[str, ...]] = {
    GATEWAY: ("accounts", "api_keys", "idempotency_keys"),
    SCHEDULER: ("jobs", "workers", "models", "retellings", "job_batches"),
    QUOTA: ("plans", "quota_accounts", "grants", "reservations", "rate_windows"),
    USAGE: ("ledger", "rollups", "batches", "watermarks"),
    WEBHOOK: ("subscriptions", "deliveries", "webhook_secrets", "endpoints"),
    BLOB: ("blobs", "ended_jobs"),
}
"""Who owns which MongoDB collection: its sole writer, and its only reader too."""


def fact_subject(fact: events.JobEvent) -> str:
    """Return the subject on which this fact about its job is published."""
    return _channels_of(fact)[type(fact)].subject.removesuffix("*") + fact.job


def facts_for(service: str) -> tuple[Channel, ...]:
    """Return the channels of all facts that a service consumes."""
    tables = (FACTS, HOOKED_FACTS, RESERVING_FACTS)
    return tuple(channel for table in tables for channel in table.values() if service in channel.consumers)


def _channels_of(fact: events.JobEvent) -> dict[type[Message], Channel]:
    if isinstance(fact, events.JobAssigned) and fact.reserved_tokens:
        return RESERVING_FACTS
    return HOOKED_FACTS if _has_webhook(fact) else FACTS


def _has_webhook(fact: events.JobEvent) -> bool:
    if isinstance(fact, events.JobAccepted):
        return fact.webhook is not None
    return isinstance(fact, events.JobStarted | events.JobRetried | events.JobFinished) and fact.has_webhook
