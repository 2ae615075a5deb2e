"""Every subject on the bus, as a constant or a function. No other module builds one.

Grammar: tokens are separated by dots; a model's name is escaped (`token`), ids are used as they are.
"""

from __future__ import annotations

from zlib import crc32

SHARDS = 16
"""How many parts the fleet is divided into; each part belongs to one scheduler replica at a time."""

JOBS_SUBMIT = "jobs.submit"
JOB_GET = "job.get"
JOBS_GET = "jobs.get"
JOBS_LIST = "jobs.list"
JOB_CANCEL = "job.cancel"
JOBS_CANCEL_ALL = "jobs.cancel_all"
JOB_RETRY = "job.retry"
JOB_REPRIORITISE = "job.reprioritise"
JOB_TIMELINE = "job.timeline"
MODELS_LIST = "models.list"
WORKERS_LIST = "workers.list"
WORKER_ENROL = "worker.enrol"
WORKER_REVOKE = "worker.revoke"
WORKER_DRAIN = "worker.drain"
QUOTA_PLAN_PUT = "quota.plan.put"
QUOTA_PLAN_DELETE = "quota.plan.delete"
QUOTA_PLANS_LIST = "quota.plans.list"
QUOTA_PLAN_ASSIGN = "quota.plan.assign"
QUOTA_GET = "quota.get"
QUOTA_VERIFY = "quota.verify"
QUOTA_RATE_TAKE = "quota.rate.take"
QUOTA_GRANTS_TAKE = "quota.grants.take"
QUOTA_GRANTS_RETURN = "quota.grants.return"
QUOTA_RELEASED = "quota.released"
QUOTA_PLAN_CHANGED = "quota.plan.changed"
USAGE_GET = "usage.get"
USAGE_LINE_GET = "usage.line.get"
USAGE_VERIFY = "usage.verify"
USAGE_LEDGER_TOTALS = "usage.ledger.totals"
JOBS_ENDINGS = "jobs.endings"
JOB_RENDER = "job.render"
WEBHOOK_SECRET = "webhook.secret"  # noqa: S105 - a subject
WEBHOOK_DELIVERIES = "webhook.deliveries"
WEBHOOK_REPLAY = "webhook.replay"
WEBHOOK_VERIFY = "webhook.verify"
BLOB_CREATE = "blob.create"
BLOB_CONFIRM = "blob.confirm"
BLOB_RESERVE = "blob.reserve"
BLOB_PRESIGN = "blob.presign"
JOB_HOLD = "job.hold"
JOB_ATTACH = "job.attach"
JOBS_DATA_PURGE = "jobs.data.purge"
BATCH_CREATE = "batch.create"
BATCH_GET = "batch.get"
BATCHES_LIST = "batches.list"
BATCH_CANCEL = "batch.cancel"
BATCH_WITHDRAW = "batch.withdraw"
BATCH_LEASE = "batch.lease"
BATCH_NOTE = "batch.note"
BATCH_DONE = "batch.done"
FILE_CREATE = "file.create"
FILE_GET = "file.get"
FILES_LIST = "files.list"
FILE_DELETE = "file.delete"
KEY_REVOKED = "key.revoked"
SCHEDULER_WAKE = "scheduler.wake"

_UNSAFE = {character: f"%{ord(character):02X}" for character in ".*>% \t\r\n\x00\x7f"}
_UNSAFE |= {chr(code): f"%{code:02X}" for code in range(32)}
_ESCAPES = str.maketrans(_UNSAFE)


def token(text: str) -> str:
    """Return `text` as one subject token:
    `.`, `*`, `>`, `%`, blanks and controls become `%XX`. Raises ValueError if empty.
    """
    if not text:
        raise ValueError("a subject token cannot be empty")
    return text.translate(_ESCAPES)


def worker_shard(worker: str) -> int:
    """Return the shard of a worker, 0 … SHARDS-1. Worker and scheduler compute it alike."""
    return crc32(worker.encode()) % SHARDS


def work(lane: str, model: str, worker: str, job: str) -> str:
    """A work order waiting for one worker: `work.<lane>.<model>.<worker>.<job>`."""
    return f"work.{lane}.{token(model)}.{worker}.{job}"


def work_of(lane: str, worker: str) -> str:
    """All orders of one lane for one worker."""
    return f"work.{lane}.*.{worker}.*"


def work_of_model(lane: str, model: str, worker: str) -> str:
    """All orders of one lane and model for one worker: what the worker's consumer filters on."""
    return f"work.{lane}.{token(model)}.{worker}.*"


def work_of_job(lane: str, job: str) -> str:
    """The order of one job in a lane, whoever it is for: what a cancellation purges."""
    return f"work.{lane}.*.*.{job}"


def worker_hello(worker: str) -> str:
    """Where a worker introduces itself."""
    return f"wrk.{worker_shard(worker)}.{worker}.hello"


def worker_heartbeat(worker: str) -> str:
    """Where a worker's heartbeats go."""
    return f"wrk.{worker_shard(worker)}.{worker}.heartbeat"


def worker_report(worker: str) -> str:
    """Where a worker's starts and results go."""
    return f"wrk.{worker_shard(worker)}.{worker}.report"


def worker_upload(worker: str) -> str:
    """Where a worker asks for a place for an output too large for the bus."""
    return f"wrk.{worker_shard(worker)}.{worker}.upload"


def shard_uploads(shard: int) -> str:
    """The upload questions of all workers of a shard."""
    return f"wrk.{shard}.*.upload"


def shard_hellos(shard: int) -> str:
    """The introductions of all workers of a shard."""
    return f"wrk.{shard}.*.hello"


def shard_heartbeats(shard: int) -> str:
    """The heartbeats of all workers of a shard."""
    return f"wrk.{shard}.*.heartbeat"


def shard_reports(shard: int) -> str:
    """The reports of all workers of a shard."""
    return f"wrk.{shard}.*.report"


def worker_in(subject: str) -> str:
    """Return the worker's id from a `wrk.…` or `tok.…` subject:
    the server enforces it, a payload's claim counts for nothing.
    """
    parts = subject.split(".")
    return parts[2] if parts[0] == "wrk" else parts[1]


def control(worker: str) -> str:
    """Where a worker hears what concerns itself (drain, resume, hello)."""
    return f"ctl.{worker}.control"


def stop(worker: str) -> str:
    """Where a worker hears that an attempt must stop."""
    return f"ctl.{worker}.stop"


def order(worker: str, lane: str) -> str:
    """Where the server delivers a worker its orders of one lane, as its consumer there says."""
    return f"ctl.{worker}.order.{lane}"


def tokens(worker: str, job: str) -> str:
    """Where a worker streams the text of a job."""
    return f"tok.{worker}.{job}"


def live(job: str) -> str:
    """Where the server republishes the tokens of a job for its followers; the original subject is in `Nats-Subject`."""
    return f"live.{job}"


def ended(waiter: str, job: str) -> str:
    """Where one who waits for the end of a job is told of it."""
    return f"ended.{waiter}.{job}"


def event(name: str, job: str) -> str:
    """A fact about a job: `event.<name>.<job>`, name as in accepted, assigned, finished."""
    return f"event.{name}.{job}"


def events_of_job(job: str) -> str:
    """All facts about one job."""
    return f"event.*.{job}"


def events_named(name: str) -> str:
    """One kind of fact about all jobs."""
    return f"event.{name}.*"
