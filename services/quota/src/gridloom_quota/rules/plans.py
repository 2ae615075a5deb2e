"""Plans: what one may say, and which windows it limits."""

from __future__ import annotations

import re

from gridloom_contract.quota import Plan, Window
from gridloom_domain.errors import Invalid
from gridloom_quota.record import DEFAULT_PLAN

MOST_TOKENS = 2**53
"""The largest number that every reader of JSON keeps exactly."""

MOST_TOKENS_OF_A_JOB = 10**12
"""A count beyond this is not counted, in the ledger neither: sums always fit 64 bits."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_COUNTS = (
    "daily_tokens",
    "weekly_tokens",
    "monthly_tokens",
    "max_waiting_jobs",
    "max_parallel_jobs",
    "max_blob_bytes",
)


def without_limits(name: str = DEFAULT_PLAN) -> Plan:
    """Return what an account gets as long as nobody decides otherwise."""
    return Plan(name=name)


def limits_of(plan: Plan) -> dict[Window, int]:
    """Return how many tokens the plan allows in each window that it limits."""
    limits = {Window.DAY: plan.daily_tokens, Window.WEEK: plan.weekly_tokens, Window.MONTH: plan.monthly_tokens}
    return {window: limit for window, limit in limits.items() if limit is not None}


def check(plan: Plan) -> None:
    """Raise `Invalid`, naming the field, unless the plan can be kept."""
    if not _NAME.fullmatch(plan.name):
        raise Invalid(f"a plan's name is 1 to 64 letters, digits, dots, dashes: {plan.name[:64]!r}", "name")
    for field in _COUNTS:
        _check_count(field, getattr(plan, field))
    if plan.retention_days is not None and not 1 <= plan.retention_days <= 36_500:
        raise Invalid(f"retention_days is at least 1: {plan.retention_days}", "retention_days")
    if not -(2**31) <= plan.priority_boost < 2**31:
        raise Invalid(f"priority_boost does not fit 32 bits: {plan.priority_boost}", "priority_boost")
    _check_rates(plan)


def _check_count(field: str, count: int | None) -> None:
    if count is not None and not 0 <= count <= MOST_TOKENS:
        raise Invalid(f"{field} is between 0 and {MOST_TOKENS}: {count}", field)


def _check_rates(plan: Plan) -> None:
    groups = [rule.group for rule in plan.rates]
    if len(set(groups)) != len(groups):
        raise Invalid("rates names a route group twice", "rates")
    for rule in plan.rates:
        if not rule.group or not 1 <= rule.per_minute <= 1_000_000:
            raise Invalid(f"a rate is 1 to 1,000,000 calls a minute of a named group: {rule.per_minute}", "rates")
