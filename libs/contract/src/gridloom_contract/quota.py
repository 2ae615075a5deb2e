"""Token quotas: plans, what an account has used and reserved, and the grants from which assigners reserve.

Tokens of one account and window move `free in the window → granted → reserved → settled`; at any moment
`granted = reserved + settled + free` of every grant, which `VerifyQuota` proves.
"""

from __future__ import annotations

from gridloom_contract.base import GrowingEnum, Instant, Message, Value


class Window(GrowingEnum):
    """A calendar window in UTC. Weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    UNKNOWN = "unknown"


class RateRule(Value, frozen=True, kw_only=True, omit_defaults=True):
    """At most `per_minute` calls a minute for one key in one route group (`native`, `native.submit`, `infernet`, …)."""

    group: str
    per_minute: int


class Plan(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plan.1"):
    """What the accounts on a plan may use.

    None means without limit. `priority_boost` is the priority of a job that names none.
    """

    name: str
    daily_tokens: int | None = None
    weekly_tokens: int | None = None
    monthly_tokens: int | None = None
    priority_boost: int = 0
    rates: tuple[RateRule, ...] = ()
    max_waiting_jobs: int | None = None
    max_parallel_jobs: int | None = None
    max_blob_bytes: int | None = None
    retention_days: int | None = None


class PutPlan(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plan.put.1"):
    """Gateway to quota:
    make or change a plan. Answered by the `Plan`; held jobs of its accounts start within two seconds.

    With `is_new` there must not be one of that name: fault `conflict`.
    """

    plan: Plan
    is_new: bool = False


class DeletePlan(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plan.delete.1"):
    """Gateway to quota: forget a plan. Answered by the `Plan` as it was.

    Faults: `not_found`, `conflict` while an account is on it; `default` always stays.
    """

    plan: str


class ListPlans(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plans.list.1"):
    """Gateway to quota: all plans."""


class PlanList(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plans.page.1"):
    """Answer to `ListPlans`, by name.

    `default` is for accounts without a plan of their own and has no limits unless changed.
    """

    plans: tuple[Plan, ...]


class AssignPlan(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plan.assign.1"):
    """Gateway to quota: put an account on a plan. Fault `not_found` for an unknown plan. Answered by `AccountQuota`."""

    account: str
    plan: str


class GetQuota(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.get.1"):
    """Gateway to quota: an account's plan and headroom."""

    account: str


class WindowUse(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One window of one account. `headroom` is what may still be granted; None limit means without."""

    window: Window
    started_at: Instant
    resets_at: Instant
    limit: int | None = None
    used: int = 0
    reserved: int = 0
    headroom: int | None = None


class AccountQuota(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.account.1"):
    """Answer to `GetQuota`."""

    account: str
    plan: Plan
    windows: tuple[WindowUse, ...] = ()
    held_until: Instant | None = None


class GrantRequest(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One account's share of `TakeGrants`: at least `tokens` are needed for the job at hand."""

    account: str
    tokens: int


class TakeGrants(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.grants.take.1"):
    """Scheduler to quota: hand out budgets. `holder` is the replica; what it holds goes back when it stops asking."""

    holder: str
    requests: tuple[GrantRequest, ...]


class Grant(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A budget: `tokens` may be reserved from it until `expires_at`. Zero tokens: over quota until `held_until`.

    `unlimited` accounts need no reservation until `expires_at`. `max_parallel` caps the account's claimed and running
    jobs. `spent_until` is set where what is used leaves too little before that time, whatever running jobs give back.
    """

    account: str
    grant: str | None = None
    tokens: int = 0
    unlimited: bool = False
    expires_at: Instant | None = None
    held_until: Instant | None = None
    max_parallel: int | None = None
    spent_until: Instant | None = None


class GrantsTaken(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.grants.taken.1"):
    """Answer to `TakeGrants`, in its order."""

    grants: tuple[Grant, ...]


class ReturnGrants(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.grants.return.1"):
    """Scheduler to quota: these grants are closed; `spent` of each was reserved, the rest is free again."""

    holder: str
    grants: tuple[str, ...]
    spent: tuple[int, ...]


class GrantsReturned(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.grants.returned.1"):
    """Answer to `ReturnGrants`."""

    count: int


class QuotaReleased(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.released.1"):
    """Quota to all schedulers:
    these accounts have headroom again (a window turned, a plan was raised); release their held jobs.
    """

    accounts: tuple[str, ...]


class PlanChanged(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.plan.changed.1"):
    """Quota to all gateways and schedulers: forget what you remember of these accounts' plans; none named means all."""

    accounts: tuple[str, ...] = ()


class TakeRate(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.rate.take.1"):
    """Gateway to quota:
    `count` calls of `key` in `group` for the minute that holds now; refused calls are not counted.
    """

    key: str
    group: str
    per_minute: int
    count: int = 1


class RateTaken(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.rate.taken.1"):
    """Answer to `TakeRate`:
    how many of them may be made, how many are left for all gateways, and when the count starts anew.
    """

    granted: int
    remaining: int
    resets_at: Instant


class VerifyQuota(Message, frozen=True, kw_only=True, omit_defaults=True, tag="quota.verify.1"):
    """Gateway to quota: prove `granted = reserved + settled + free` and `settled = ledger` for every account."""


class VerifyReport(Message, frozen=True, kw_only=True, omit_defaults=True, tag="verify.report.1"):
    """What a verification found: how much was checked, and a sentence for each difference, the first one first."""

    checked: int
    differences: tuple[str, ...] = ()
