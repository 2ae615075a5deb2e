"""The operator's API as it is spelled on the wire. Errors have the native API's shape."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_PER_PAGE = 500

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, milliseconds, `Z`.")]
Scope = Literal["jobs:read", "jobs:write"]
AccountId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which page of a listing."""

    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=MAX_PER_PAGE)] = 100


class OpenAccount(Struct, frozen=True, kw_only=True):
    """A new account. `priority_boost` is the priority of its jobs that name none."""

    name: Name
    priority_boost: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0


class Account(Struct, frozen=True, kw_only=True):
    """An account; `disabled_at` is null while its keys work."""

    id: AccountId
    name: str
    priority_boost: int
    created_at: Moment
    disabled_at: Moment | None


class Accounts(Struct, frozen=True, kw_only=True):
    """One page of accounts, newest first."""

    accounts: list[Account]
    page: int
    per_page: int
    total: int
    total_pages: int


class IssueKey(Struct, frozen=True, kw_only=True):
    """A new key. Without `scopes` it may do all that an account may; without `expires_at` it does not end."""

    name: Annotated[str, Meta(max_length=200)] = ""
    scopes: Annotated[list[Scope], Meta(min_length=1)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class Key(Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    kid: str
    account: AccountId
    name: str
    scopes: list[str]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None


class IssuedKey(Key, frozen=True, kw_only=True):
    """A new key. `key` is shown this once."""

    key: str


class Keys(Struct, frozen=True, kw_only=True):
    """One page of an account's keys, newest first."""

    keys: list[Key]
    page: int
    per_page: int
    total: int
    total_pages: int


class EnrolWorker(Struct, frozen=True, kw_only=True):
    """A new worker. With `account` it is private: it serves that account and those in `serves`, and nobody else."""

    name: Name
    account: AccountId | None = None
    serves: list[AccountId] = []


class EnrolledWorker(Struct, frozen=True, kw_only=True):
    """A new worker. `token` is shown this once."""

    worker: str
    name: str
    token: str


class Offer(Struct, frozen=True, kw_only=True):
    """A model that a worker serves."""

    model: str
    family: str
    kind: str
    context_length: int | None
    features: list[str]
    loaded: bool


class Speed(Struct, frozen=True, kw_only=True):
    """What a worker measured of a model."""

    model: str
    tokens_per_second: float
    job_seconds: float


class Worker(Struct, frozen=True, kw_only=True):
    """A worker. `state` is online, draining, offline or revoked."""

    worker: str
    name: str
    state: str
    account: str | None
    serves: list[str]
    offers: list[Offer]
    slots: int
    free_slots: int
    jobs: int
    speeds: list[Speed]
    engine: str | None
    version: str | None
    created_at: Moment | UnsetType = UNSET
    last_seen_at: Moment | UnsetType = UNSET


class Workers(Struct, frozen=True, kw_only=True):
    """One page of workers, by name."""

    workers: list[Worker]
    page: int
    per_page: int
    total: int
    total_pages: int


class Proof(Struct, frozen=True, kw_only=True):
    """What a proof of the books found: a sentence for each difference, the first one first. None is a proof."""

    is_clean: bool
    checked: int
    differences: list[str]


class Error(Struct, frozen=True, kw_only=True):
    """What went wrong: a word for programs, a sentence for people, and the field it concerns."""

    error: str
    message: str
    request_id: str
    field: str | UnsetType = UNSET
