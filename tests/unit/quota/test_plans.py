"""What a plan may say."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom_contract.quota import Plan, RateRule, Window
from gridloom_domain.errors import Invalid
from gridloom_quota.rules.plans import check, limits_of


def test_a_plan_limits_the_windows_it_names() -> None:
    plan = Plan(name="team", daily_tokens=10, monthly_tokens=0)
    check(plan)
    assert limits_of(plan) == {Window.DAY: 10, Window.MONTH: 0}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a plan"}),
        ("name", {"name": "x" * 65}),
        ("daily_tokens", {"daily_tokens": -1}),
        ("monthly_tokens", {"monthly_tokens": 2**53 + 1}),
        ("max_parallel_jobs", {"max_parallel_jobs": -1}),
        ("max_waiting_jobs", {"max_waiting_jobs": -5}),
        ("retention_days", {"retention_days": 0}),
        ("priority_boost", {"priority_boost": 2**31}),
        ("rates", {"rates": (RateRule(group="native", per_minute=0),)}),
        ("rates", {"rates": (RateRule(group="a", per_minute=1), RateRule(group="a", per_minute=2))}),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        check(Plan(**({"name": "team"} | fields)))
    assert refusal.value.fault.field == field
