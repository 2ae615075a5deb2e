"""Facts about jobs: each is part of the same MongoDB write as the change it reports, and published from there.

Consumers key on `(job, seq)`: an event may arrive twice, never with another content.
"""

from __future__ import annotations

from gridloom_contract.base import Instant, Message
from gridloom_contract.fault import Fault
from gridloom_contract.vocabulary import State, Usage
from gridloom_contract.webhooks import WebhookOrder


class JobFact(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What all events of a job share. `seq` counts from 1 within the job without gaps; `id` is unique to the write."""

    job: str
    account: str
    seq: int
    at: Instant
    id: str
    attempt: int = 0


class JobAccepted(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.accepted.1"):
    """The job is stored and will not be lost."""

    model: str
    priority: int = 0
    tag: str | None = None
    state: State = State.QUEUED
    webhook: WebhookOrder | None = None


class JobHeld(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.held.1"):
    """The job waits for something other than a worker: `reason` is quota, blob, backoff or gate."""

    reason: str
    until: Instant | None = None


class JobReleased(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.released.1"):
    """A held job waits for a worker now."""

    reason: str


class JobAttached(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.attached.1"):
    """A waiting job got a file; `ref` stands for it on the bus."""

    ref: str
    content_type: str


class JobAssigned(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.assigned.1"):
    """A worker was chosen; `why` says by which rule, `waited_ms` how long the job had waited."""

    worker: str
    served_model: str
    why: str
    waited_ms: int = 0
    grant: str | None = None
    reserved_tokens: int = 0


class JobStarted(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.started.1"):
    """The worker handed the job to its engine."""

    worker: str
    has_webhook: bool = False


class JobRequeued(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.requeued.1"):
    """An attempt ended without an answer; the job waits again. `attempt` is the one that ended."""

    reason: str
    worker: str | None = None
    fault: Fault | None = None


class JobReprioritised(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.reprioritised.1"):
    """The priority of a waiting job changed to `priority`."""

    priority: int


class JobRetried(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.retried.1"):
    """The owner asked for a new attempt of an ended job.

    `sealed_key` is the API key that asked, sealed for the webhook service as in `WebhookOrder`: the one that submitted
    the job is forgotten by then.
    """

    sealed_key: str | None = None
    has_webhook: bool = False


class JobFinished(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.finished.1"):
    """The job reached a terminal `state`.

    Published once per ending; it carries what accounting needs, never the text.
    """

    state: State
    key: str
    model: str
    dialect: str
    reason: str | None = None
    tag: str | None = None
    worker: str | None = None
    served_model: str | None = None
    usage: Usage | None = None
    engine_seconds: float | None = None
    first_token_seconds: float | None = None
    fault: Fault | None = None
    created_at: Instant | None = None
    started_at: Instant | None = None
    has_webhook: bool = False
    reserved_tokens: int = 0


class JobPurged(JobFact, frozen=True, kw_only=True, omit_defaults=True, tag="job.purged.1"):
    """The retention of an ended job is over: its inputs and outputs are forgotten."""


JobEvent = (
    JobAccepted
    | JobHeld
    | JobReleased
    | JobAttached
    | JobAssigned
    | JobStarted
    | JobRequeued
    | JobReprioritised
    | JobRetried
    | JobFinished
    | JobPurged
)
