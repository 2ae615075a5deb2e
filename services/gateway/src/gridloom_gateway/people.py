"""Who uses the grid: accounts, their API keys, and the caller that a key stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Row = TypeVar("Row")

READ = "jobs:read"
WRITE = "jobs:write"
SCOPES = (READ, WRITE)
"""What a key may be allowed. A key gets all of them unless told otherwise."""


@dataclass(frozen=True)
class Account:
    """A customer. A disabled account's keys are refused; its jobs stay."""

    id: str
    name: str
    created_at: datetime
    priority_boost: int = 0
    """The priority of its jobs that name none."""
    disabled_at: datetime | None = None


@dataclass(frozen=True)
class ApiKey:
    """A key as it is stored: never the key itself."""

    kid: str
    account: str
    verifier: bytes
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid_at(self, now: datetime) -> bool:
        """Say whether the key opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class Caller:
    """Who makes a request, as far as anything behind the door needs to know.

    `new_id` is set where an earlier try may have made already what this one makes: it has to get the same id.
    """

    account: str
    kid: str
    scopes: frozenset[str]
    priority_boost: int = 0
    new_id: str | None = None


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a listing; `number` counts from 1, `total` all rows on every page."""

    rows: tuple[Row, ...]
    number: int
    size: int
    total: int
