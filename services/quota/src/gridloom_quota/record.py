"""What the quota service keeps: the MongoDB documents, as frozen values.

An account is one document, and every change of it is one compare-and-set on `version`. What a change does to other
documents (reservations, ended grants) is part of the same write, in `journal` and `ended_grants`, and copied to them
afterwards; a crash in between costs nothing, because whoever changes the account next copies first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gridloom_contract.quota import Plan, Window

DEFAULT_PLAN = "default"


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One calendar window of an account: since when it counts, and what was used in it."""

    start: datetime
    used: int = 0


class OpenGrant(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A budget in a scheduler's hands. `free` is what no fact has reserved yet; it comes back at `closes_at`."""

    id: str
    holder: str
    granted: int
    free: int
    expires_at: datetime
    closes_at: datetime
    returned: int = 0


class EndedGrant(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """One document of `grants`: what came of a budget, kept for verification until `forget_at`."""

    id: str
    account: str
    holder: str
    granted: int
    returned: int
    forget_at: datetime


class Booking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": "_id"}):
    """One document of `reservations`: one attempt of a job.

    `tokens` were reserved for it, `from_grant` of them out of `grant`, the rest straight from the windows. The facts
    may come in any order: `is_assigned` and `is_ended` say which of them came. `settled` is the real count. `version`
    is the account's version with which it was written, so that an older copy never replaces a newer one.
    """

    id: str
    account: str
    at: datetime
    version: int
    is_assigned: bool = False
    is_ended: bool = False
    is_open: bool = False
    grant: str | None = None
    tokens: int = 0
    from_grant: int = 0
    settled: int | None = None
    forget_at: datetime | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": "_id"}):
    """One document of `quota_accounts`.

    `granted`, `reserved` and `settled` count from the account's beginning: `granted = reserved + settled + free`.
    Reserved and free tokens count in the window that holds now, whichever that is; `used` in that of the job's end.
    `refused` is the smallest need that was turned away; `told` how often schedulers heard since that it fits again.
    `due_at` is when somebody must look at the account.
    """

    id: str
    version: int
    plan: str
    windows: dict[Window, WindowRecord] = {}
    granted: int = 0
    reserved: int = 0
    settled: int = 0
    grants: tuple[OpenGrant, ...] = ()
    refused: int | None = None
    told: int = 0
    wake_at: datetime | None = None
    announce_at: datetime | None = None
    due_at: datetime | None = None
    journal: tuple[Booking, ...] = ()
    ended_grants: tuple[EndedGrant, ...] = ()

    @property
    def free(self) -> int:
        """What open grants hold unreserved."""
        return sum(grant.free for grant in self.grants)


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"name": "_id"}):
    """One document of `plans`. `unsettled_at` is there while somebody may not have heard of the last change."""

    name: str
    plan: Plan
    unsettled_at: datetime | None = None


Document = dict[str, Any]


def a_new_account(account: str) -> Account:
    """Return an account nobody has heard of: on the default plan, without windows."""
    return Account(id=account, version=0, plan=DEFAULT_PLAN)


def to_document(value: msgspec.Struct) -> Document:
    """Return the MongoDB document of a record."""
    document: Document = msgspec.to_builtins(value, builtin_types=(datetime,))
    return document
