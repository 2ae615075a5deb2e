"""Jobs as the gateway and the scheduler speak of them: orders (submit, cancel, …) and their answers."""

from __future__ import annotations

from typing import Any, Final

from gridloom_contract.base import Instant, Message, Value
from gridloom_contract.events import JobEvent
from gridloom_contract.fault import Fault
from gridloom_contract.vocabulary import Kind, Match, State, Usage
from gridloom_contract.webhooks import WebhookOrder

MAX_INLINE_BYTES: Final = 256 * 1024
"""A task or an output whose JSON is larger travels by reference, so that a job with both fits one bus message."""


class Task(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What the engine gets. `prompt` or `messages` is set; `params` are sampling parameters handed on as they are.

    Or `inputs` are: prompts that are answered one after the other, with a blank line between the answers.

    Or it is *raw*: then `raw` is the body of an OpenAI request, all else unset, and it goes to the engine untouched but
    for `model`, `stream` and `stream_options`, which the worker sets; `kind` says to which path. A raw task that is
    kept elsewhere, or left out, is still recognizable: `raw` is empty then.
    """

    kind: Kind = Kind.CHAT
    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] | None = None
    params: dict[str, Any] = {}
    raw: dict[str, Any] | None = None
    inputs: tuple[str, ...] = ()


class Submission(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One job to accept. `job` is minted by the sender, so sending it twice accepts it once.

    `echo` belongs to the dialect that took the job: the core stores and returns it unread. `sync` puts the job on
    the high lane. `timeout_seconds` runs from the claim, `deadline_at` from creation. `node` pins a worker. With
    `task_ref` the task is an object of `task_bytes` with the JSON of a `Task`; `task` has what it says but the text.

    So many `files` will follow: the job is held until they are there, for as long as an upload may take at most. One
    that `may_get_files` is held for a moment if its model takes images: time to make a slot (API.md §1.1, 10).

    Not started within `capacity_wait_seconds` of its creation, it fails with `no_capacity`. One that `needs_provider`
    is refused with `no_capacity` at once if no worker that is online offers its model (or its `node` is not). A job
    that is not `listed` is found by its id alone. `parent` is the batch it is a line of. A `waiter` is told of its end.

    `webhook_url` is read by nobody: `webhook` has taken its place, and fields of a contract never go.
    """

    job: str
    account: str
    key: str
    dialect: str
    model: str
    task: Task
    match: Match = Match.EXACT
    tag: str | None = None
    priority: int = 0
    sync: bool = False
    batch: bool = False
    timeout_seconds: float = 600.0
    deadline_at: Instant | None = None
    max_attempts: int = 3
    node: str | None = None
    webhook_url: str | None = None
    webhook: WebhookOrder | None = None
    task_ref: str | None = None
    echo: dict[str, Any] = {}
    traceparent: str | None = None
    task_bytes: int = 0
    files: int = 0
    may_get_files: bool = False
    capacity_wait_seconds: float | None = None
    needs_provider: bool = False
    listed: bool = True
    parent: str | None = None
    waiter: str | None = None


class SubmitJobs(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.submit.1"):
    """Gateway to scheduler: accept these jobs. Answered once every accepted job is majority-journaled."""

    jobs: tuple[Submission, ...]


class Acceptance(Value, frozen=True, kw_only=True, omit_defaults=True):
    """The fate of one submission: accepted in `state` at `created_at`, or refused with `fault`.

    A job that need not wait is with its `worker` already, in this `attempt`.
    """

    job: str
    state: State = State.QUEUED
    created_at: Instant | None = None
    fault: Fault | None = None
    worker: str | None = None
    attempt: int = 0


class JobsSubmitted(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.submitted.1"):
    """Answer to `SubmitJobs`, in its order."""

    outcomes: tuple[Acceptance, ...]


class Job(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.document.1"):
    """A job as its owner may see it. Times are the scheduler's. `output` is the whole text once it succeeded, of a raw
    task the JSON of the whole answer (`gridloom_domain.completions`); a large one is the object `output_ref` instead,
    UTF-8. `streamed_characters` is how many the frames of that answer had. It waits, or waited, since `queued_at`:
    later than `created_at` once it was tried or ordered again.
    """

    job: str
    account: str
    key: str
    dialect: str
    model: str
    task: Task
    state: State
    created_at: Instant
    match: Match = Match.EXACT
    tag: str | None = None
    priority: int = 0
    timeout_seconds: float = 600.0
    deadline_at: Instant | None = None
    node: str | None = None
    echo: dict[str, Any] = {}
    reason: str | None = None
    held_until: Instant | None = None
    attempt: int = 0
    worker: str | None = None
    served_model: str | None = None
    claimed_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    output: str | None = None
    output_ref: str | None = None
    task_ref: str | None = None
    attachments: tuple[str, ...] = ()
    data_removed: bool = False
    finish_reason: str | None = None
    usage: Usage | None = None
    error: Fault | None = None
    queue_position: int | None = None
    estimated_start_seconds: float | None = None
    listed: bool = True
    parent: str | None = None
    streamed_characters: int | None = None
    queued_at: Instant | None = None


class GetJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.get.1"):
    """Gateway to scheduler: the job, if this account owns it. Fault `not_found` otherwise.

    A `waiter` follows the job: it is told of its end as that of a submission is, if whoever answers sees it.
    """

    job: str
    account: str
    waiter: str | None = None


class GetJobs(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.get.1"):
    """Gateway to scheduler: some jobs of an account by their ids, at most a hundred."""

    account: str
    jobs: tuple[str, ...]


class JobsFound(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.found.1"):
    """Answer to `GetJobs`: those that there are, in no order, without tasks and what their dialects kept.

    `unread` are those that found no room in this message: ask again for them.
    """

    jobs: tuple[Job, ...]
    unread: tuple[str, ...] = ()


class ListJobs(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.list.1"):
    """Gateway to scheduler:
    one page of an account's jobs, newest first. Empty `states` or `dialects` means all. `page` is 1-based.

    `listed` None means all, whether their dialects list them or not; `since` is the earliest creation that counts.
    """

    account: str
    states: tuple[State, ...] = ()
    tag: str | None = None
    page: int = 1
    per_page: int = 25
    dialects: tuple[str, ...] = ()
    listed: bool | None = None
    parent: str | None = None
    since: Instant | None = None


class JobPage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.page.1"):
    """Answer to `ListJobs`. `total` counts all jobs that match, on every page. Tasks and outputs are left out."""

    jobs: tuple[Job, ...]
    total: int


class CancelJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.cancel.1"):
    """Gateway to scheduler:
    cancel. With `waiting_only` a claimed or running job is a `conflict`. Answered by the `Job`.
    """

    job: str
    account: str
    waiting_only: bool = False
    reason: str = "user"


class CancelAllJobs(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.cancel_all.1"):
    """Gateway to scheduler: cancel every waiting (held or queued) job of the account."""

    account: str


class JobsCanceled(Message, frozen=True, kw_only=True, omit_defaults=True, tag="jobs.canceled.1"):
    """Answer to `CancelAllJobs`: how many were canceled."""

    count: int


class RetryJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.retry.1"):
    """Gateway to scheduler: run an ended job again as a new attempt. `conflict` unless it failed or was canceled.

    `sealed_key` is the API key that asks, sealed for the webhook service; it goes into `JobRetried`.
    """

    job: str
    account: str
    sealed_key: str | None = None


class ReprioritiseJob(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.reprioritise.1"):
    """Gateway to scheduler: add `delta` to the priority of a waiting job. `conflict` once it is no longer waiting."""

    job: str
    account: str
    delta: int


class GetTimeline(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.timeline.get.1"):
    """Gateway to scheduler: everything that happened to the job. Fault `not_found` if this account does not own it."""

    job: str
    account: str


class Timeline(Message, frozen=True, kw_only=True, omit_defaults=True, tag="job.timeline.1"):
    """Answer to `GetTimeline`: the events in order of `seq`."""

    job: str
    events: tuple[JobEvent, ...]
