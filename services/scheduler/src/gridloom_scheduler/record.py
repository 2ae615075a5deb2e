"""What the scheduler keeps of a job and of a worker: the MongoDB documents, as frozen values.

A field with a default is left out of the document while it has that default; all others are always there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gridloom_contract.events import JobEvent
from gridloom_contract.fault import Fault
from gridloom_contract.vocabulary import Kind, Match, State, Usage
from gridloom_contract.work import ModelSpeed, Offer


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who may report on the current attempt. `token` is random and secret; `session` is the worker's process."""

    worker: str
    token: str
    session: str


class InputSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much a job's task is: its texts in characters, None if they were not read, and all of it as JSON."""

    text_characters: int | None
    task_bytes: int


class AttachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a job, as the blob service has it: checked and unchangeable."""

    ref: str
    content_type: str


class JobRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": "_id"}):
    """One document of `jobs`. `seq` counts its facts and is its version: every change raises it.

    `task` and `echo` are JSON text, because MongoDB would refuse keys and numbers that JSON allows. `published` is the
    highest seq known to be on the bus; `unpublished_since` is there while facts beyond it may be missing.
    `files` is how many are to be attached before it may go, and `files_until` how long it waits for more of them.
    `berth` is its place among the parallel jobs of an account that may have only so many.
    `kind` and `is_raw` are its task's, for who does not read that. `capacity_at` is when it fails if no worker has
    started it, and there until one does.
    `holds_keys` is there while API keys, sealed for its webhook, are in its facts.
    `expires_at` is `deadline_at` while the job lives. `recorded_token` is the lease whose result was taken last.
    """

    id: str
    account: str
    key: str
    dialect: str
    model: str
    match: Match
    family: str
    route: str
    task: str
    state: State
    created_at: datetime
    queued_at: datetime
    priority: int
    lane: str
    fair: float
    cost: float
    seq: int
    published: int
    listed: bool
    kind: Kind = Kind.CHAT
    is_raw: bool = False
    echo: str = "{}"
    tag: str | None = None
    sync: bool = False
    batch: bool = False
    node: str | None = None
    parent: str | None = None
    reason: str | None = None
    held_until: datetime | None = None
    attempt: int = 0
    failures: int = 0
    max_attempts: int = 3
    timeout_seconds: float = 600.0
    timeout_at: datetime | None = None
    deadline_at: datetime | None = None
    expires_at: datetime | None = None
    capacity_wait_seconds: float | None = None
    capacity_at: datetime | None = None
    lease: Lease | None = None
    berth: int | None = None
    excluded: tuple[str, ...] = ()
    recorded_token: str | None = None
    worker: str | None = None
    served_model: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output: str | None = None
    output_ref: str | None = None
    finish_reason: str | None = None
    streamed_characters: int | None = None
    usage: Usage | None = None
    error: Fault | None = None
    waiter: str | None = None
    has_webhook: bool = False
    holds_keys: bool = False
    traceparent: str | None = None
    task_ref: str | None = None
    attachments: tuple[AttachedFile, ...] = ()
    input_size: InputSize | None = None
    files: int = 0
    files_until: datetime | None = None
    data_removed: bool = False
    unpublished_since: datetime | None = None
    events: tuple[JobEvent, ...] = ()


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker is connected, as the NATS server names it: what a revocation ends."""

    server: str
    client: int


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": "_id"}):
    """One document of `workers`. `account` makes it private; then it serves only `serves`, or that account if empty."""

    id: str
    name: str
    shard: int
    verifier: str
    created_at: datetime
    account: str | None = None
    serves: tuple[str, ...] = ()
    draining: bool = False
    revoked_at: datetime | None = None
    online: bool = False
    session: str | None = None
    slots: int = 0
    offers: tuple[Offer, ...] = ()
    speeds: tuple[ModelSpeed, ...] = ()
    engine: str | None = None
    version: str | None = None
    last_seen_at: datetime | None = None
    connection: Connection | None = None

    @property
    def patrons(self) -> frozenset[str] | None:
        """The accounts it serves; None = everybody."""
        if self.account is None:
            return None
        return frozenset(self.serves or (self.account,))


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": "_id"}):
    """One document of `models`: a name that some worker once offered. Private ones are known only to `accounts`.

    `kind` is what its last worker said that it does, `kinds` all that any ever did.
    """

    id: str
    family: str
    kind: str
    first_seen_at: datetime
    context_tokens: int | None = None
    features: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    is_public: bool = False
    accounts: tuple[str, ...] = ()

    def is_visible_to(self, account: str) -> bool:
        """Whether this account may know that the model exists."""
        return self.is_public or account in self.accounts


Document = dict[str, Any]


def to_document(value: msgspec.Struct) -> Document:
    """Return the MongoDB document of a record or a part of one."""
    document: Document = msgspec.to_builtins(value, builtin_types=(datetime,))
    return document


def job_of(document: Document) -> JobRecord:
    """Return the job of a MongoDB document. Raises `msgspec.ValidationError` if it is none of ours."""
    return msgspec.convert(document, JobRecord)


def worker_of(document: Document) -> WorkerRecord:
    """Return the worker of a MongoDB document."""
    return msgspec.convert(document, WorkerRecord)


def model_of(document: Document) -> ModelRecord:
    """Return the model of a MongoDB document."""
    return msgspec.convert(document, ModelRecord)
