"""What the scheduler and a worker say to each other, and the tokens a worker streams."""

from __future__ import annotations

from gridloom_contract.base import GrowingEnum, Instant, Message, Value
from gridloom_contract.fault import Fault
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind, Usage


class Offer(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One model a worker can serve. `family` is the text before `:` unless the engine knows better."""

    model: str
    family: str
    kind: Kind = Kind.CHAT
    context_tokens: int | None = None
    features: tuple[str, ...] = ()
    loaded: bool = True


class WorkerHello(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.hello.1"):
    """Worker to scheduler, on connecting and whenever its offers change. `session` is new with each process start."""

    worker: str
    session: str
    slots: int
    offers: tuple[Offer, ...]
    version: str
    engine: str


class Welcome(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.welcome.1"):
    """Answer to `WorkerHello`:
    the worker's consumers exist; heartbeat this often; `draining` says: no new work comes.
    """

    heartbeat_seconds: float
    lease_seconds: float
    draining: bool = False


class Holding(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A job a worker has in hand: buffered, running, or ended but not yet confirmed."""

    job: str
    attempt: int


class ModelSpeed(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A worker's own measurement: tokens per second and mean seconds per job of one model."""

    model: str
    tokens_per_second: float = 0.0
    job_seconds: float = 0.0


class WorkerHeartbeat(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.heartbeat.1"):
    """Worker to scheduler, every `heartbeat_seconds`: still here, and these jobs with me."""

    worker: str
    session: str
    free_slots: int
    holding: tuple[Holding, ...] = ()
    speeds: tuple[ModelSpeed, ...] = ()
    loaded: tuple[str, ...] = ()
    draining: bool = False


class Attachment(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A file of the job, to be fetched by the worker from a presigned URL."""

    kind: str
    url: str
    content_type: str


class WorkOrder(Message, frozen=True, kw_only=True, omit_defaults=True, tag="work.order.1"):
    """Scheduler to one worker: run this. `token` is the lease; every report about the job must carry it.

    `until` is informative: the scheduler's own clock decides timeouts. With `task_url` the task is too large for the
    bus and is fetched there (the JSON of a `Task`).
    """

    job: str
    worker: str
    attempt: int
    token: str
    model: str
    task: Task
    timeout_seconds: float
    until: Instant | None = None
    attachments: tuple[Attachment, ...] = ()
    task_url: str | None = None


class StartReport(Value, frozen=True, kw_only=True, omit_defaults=True):
    """The engine has the job."""

    job: str
    attempt: int
    token: str


class ResultReport(Value, frozen=True, kw_only=True, omit_defaults=True):
    """The attempt ended. `fault` is None on success, and then `output` is the whole text, or `output_ref` is where it
    was uploaded: that is a must if its JSON has more than `MAX_INLINE_BYTES`. The text of a raw task is the JSON of
    the whole answer, as the engine would have given it unstreamed, without `id`, `object`, `created` and `model`;
    its frames had `streamed_characters`, so that who follows them knows whether any are missing.

    `refused` hands an order back untouched (draining, unknown model): it does not count as a failed attempt.
    Seconds are the worker's measurements and serve only for display and speed.
    """

    job: str
    attempt: int
    token: str
    output: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    fault: Fault | None = None
    engine_seconds: float = 0.0
    first_token_seconds: float | None = None
    served_model: str | None = None
    refused: bool = False
    output_ref: str | None = None
    streamed_characters: int | None = None


class WorkReport(Message, frozen=True, kw_only=True, omit_defaults=True, tag="work.report.1"):
    """Worker to scheduler: starts and results, gathered while the previous report was under way."""

    worker: str
    session: str
    started: tuple[StartReport, ...] = ()
    results: tuple[ResultReport, ...] = ()


class Verdict(GrowingEnum):
    """What became of a report:
    `recorded` (now or earlier), `stale`: this lease is over, drop it and stop the engine, or `later`: nobody can tell
    yet whether the uploaded output is there, or whether the job is being stored, so keep it and report it again.
    """

    RECORDED = "recorded"
    STALE = "stale"
    LATER = "later"
    UNKNOWN = "unknown"


class ReportReceipt(Message, frozen=True, kw_only=True, omit_defaults=True, tag="work.receipt.1"):
    """Answer to `WorkReport`, in its order. Sent only after the write is majority-journaled."""

    started: tuple[Verdict, ...] = ()
    results: tuple[Verdict, ...] = ()


class AskUpload(Message, frozen=True, kw_only=True, omit_defaults=True, tag="work.upload.ask.1"):
    """Worker to scheduler:
    the output of this attempt has `size_bytes`, and its JSON more than `MAX_INLINE_BYTES`.

    Faults: `conflict` if the lease is over, `too_large` if no grid keeps that much, `rate_limited` after many slots for
    one attempt, `unavailable`.
    """

    job: str
    attempt: int
    token: str
    size_bytes: int


class UploadSlot(Message, frozen=True, kw_only=True, omit_defaults=True, tag="work.upload.slot.1"):
    """Answer to `AskUpload`: PUT the UTF-8 text to `url` within a quarter of an hour, as often as it takes, then report
    the result with `ref` instead of the output.
    """

    ref: str
    url: str


class StopWork(Message, frozen=True, kw_only=True, omit_defaults=True, tag="work.stop.1"):
    """Scheduler to a worker: stop this attempt and free its slot; no report is wanted."""

    job: str
    attempt: int
    reason: str


class WorkerControl(Message, frozen=True, kw_only=True, omit_defaults=True, tag="worker.control.1"):
    """Scheduler to a worker: `drain` (finish, take nothing new), `resume`, or `hello` (introduce yourself again)."""

    order: str


class TokenChunk(Message, frozen=True, kw_only=True, omit_defaults=True, tag="token.chunk.1"):
    """Worker to whoever follows the job: the text from character `offset` on, within this attempt.

    Chunks of one attempt are contiguous, so a reader sees a gap or a repetition by the offset alone. Losing chunks
    costs a delay and never text: the result carries all of it.

    The text of a raw task is frames: what each of the engine's chunks said without `id`, `object`, `created` and
    `model`, as compact JSON and a newline. No chunk ends within a frame, unless that alone is too large for one.
    """

    job: str
    attempt: int
    offset: int
    text: str
