"""Plans and quotas as the operator's API spells them. What is null is without limit."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gridloom_gateway.dialects.admin.wire import AccountId, Moment

_MOST = 2**53

PlanName = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Meta(ge=0, le=_MOST)]


class Rate(Struct, frozen=True, kw_only=True):
    """At most so many calls a minute of one key in one group of routes (`native`, `infernet`, `replicate.create`)."""

    group: Annotated[str, Meta(min_length=1, max_length=100)]
    per_minute: Annotated[int, Meta(ge=1, le=1_000_000)]


class PlanTerms(Struct, frozen=True, kw_only=True):
    """What the accounts on a plan may use. Days, ISO weeks and months are those of UTC.

    `priority_boost` is the priority of their jobs that name none, unless the account has a boost of its own.
    """

    daily_tokens: Count | None = None
    weekly_tokens: Count | None = None
    monthly_tokens: Count | None = None
    priority_boost: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    rates: list[Rate] = []
    max_waiting_jobs: Count | None = None
    max_parallel_jobs: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    max_blob_bytes: Count | None = None
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None


class Plan(PlanTerms, frozen=True, kw_only=True):
    """A plan. The one called `default` is for accounts without a plan of their own, and always there."""

    name: PlanName


class Plans(Struct, frozen=True, kw_only=True):
    """All plans, by name."""

    plans: list[Plan]


class ChoosePlan(Struct, frozen=True, kw_only=True):
    """Which plan an account is on."""

    plan: PlanName


class Window(Struct, frozen=True, kw_only=True):
    """One calendar window: `used` tokens are settled, `reserved` ones belong to jobs in hand, `remaining` to nobody."""

    window: str
    used: int
    reserved: int
    limit: int | None
    remaining: int | None
    started_at: Moment
    resets_at: Moment


class Quota(Struct, frozen=True, kw_only=True):
    """How an account stands. `held_until` is when its next job starts if it is over quota, else null."""

    account: AccountId
    plan: Plan
    windows: list[Window]
    held_until: Moment | None
