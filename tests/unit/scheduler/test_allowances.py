"""What a claim takes of its account's plan: tokens of a grant, and a place among its parallel jobs."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gridloom_contract.jobs import Task
from gridloom_contract.quota import Grant
from gridloom_contract.vocabulary import State
from gridloom_domain.budgets import HeldUntil
from gridloom_domain.estimates import UsualOutput
from gridloom_domain.job import Reason
from gridloom_scheduler.quotas import Quotas, allowance_of
from gridloom_scheduler.record import InputSize, JobRecord, Lease
from gridloom_scheduler.rules import holds, transitions
from gridloom_scheduler.rules.allowances import WITHOUT_LIMITS, Allowance, Moored, free_berths, tokens_for
from gridloom_scheduler.rules.transitions import Placement
from unit.scheduler.records import NOW as RECORDED
from unit.scheduler.records import a_claimed_record, a_moment, a_record

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
TOMORROW = NOW + timedelta(hours=12)


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Harbour:
    """What accounts have in hand."""

    def __init__(self, **moored: Moored) -> None:
        self.moored_by = moored
        self.questions = 0

    async def moored(self, accounts: Collection[str]) -> dict[str, Moored]:
        self.questions += 1
        return {account: self.moored_by[account] for account in accounts if account in self.moored_by}


def quotas_with(*grants: Grant, harbour: Harbour | None = None) -> Quotas:
    quotas = Quotas(harbour or Harbour(), UsualOutput(), Noon())
    quotas.budgets.take(grants, NOW)
    return quotas


def a_grant(account: str = "acc1", **changes: Any) -> Grant:
    return Grant(**({"account": account, "grant": "g1", "tokens": 100, "expires_at": SOON} | changes))


def unlimited(**changes: Any) -> Grant:
    return a_grant(**({"grant": None, "tokens": 0, "unlimited": True} | changes))


def a_job(max_tokens: int = 10, **changes: Any) -> JobRecord:
    task = msgspec.json.encode(Task(prompt="Hi", params={"max_tokens": max_tokens})).decode()
    size = InputSize(text_characters=30, task_bytes=len(task))
    return a_record(**({"task": task, "input_size": size, "route": "m:m"} | changes))


@pytest.mark.parametrize(
    ("params", "size", "tokens"),
    [
        ({"max_tokens": 10}, InputSize(text_characters=30, task_bytes=60), 10 + 16 + 10),
        ({}, InputSize(text_characters=30, task_bytes=60), 10 + 16 + 99),
        ({"max_completion_tokens": 7}, InputSize(text_characters=None, task_bytes=3_000), 1_000 + 16 + 7),
        ({}, None, 16 + 99),
    ],
)
def test_tokens_are_reserved_for_the_prompt_and_the_answer(
    params: dict[str, Any], size: InputSize | None, tokens: int
) -> None:
    task = msgspec.json.encode(Task(params=params)).decode()
    assert tokens_for(a_record(task=task, input_size=size), 99.0) == tokens


def test_an_account_without_limits_takes_nothing() -> None:
    assert quotas_with(unlimited()).allow(a_job()) is WITHOUT_LIMITS


def test_tokens_come_from_the_grant_at_hand_and_go_back_to_it() -> None:
    quotas = quotas_with(a_grant(tokens=36))
    first = quotas.allow(a_job())
    assert first == Allowance("g1", 36)
    assert quotas.allow(a_job()) is None
    quotas.take_back(first)
    assert quotas.allow(a_job()) == Allowance("g1", 36)


def test_what_is_lacking_is_asked_for_and_its_routes_are_remembered() -> None:
    quotas = quotas_with()
    assert quotas.allow(a_job(route="m:a")) is None
    assert quotas.allow(a_job(route="m:b")) is None
    assert quotas.wanting.is_set()
    assert quotas.lacking == {"acc1": {"m:a", "m:b"}}
    assert quotas.stuck(["acc1", "acc2"]) == {"acc1"}


def test_over_quota_a_job_is_held_and_a_new_one_from_the_start() -> None:
    quotas = quotas_with()
    quotas.allow(a_job())
    quotas.budgets.wanted()
    quotas.budgets.take([Grant(account="acc1", held_until=TOMORROW)], NOW)
    assert quotas.allow(a_job()) == HeldUntil(TOMORROW)
    assert quotas.over_quota_until(a_job()) == HeldUntil(TOMORROW)
    assert quotas.over_quota_until(a_job(max_tokens=1)) is None


async def test_a_capped_account_gets_no_more_than_its_free_berths() -> None:
    quotas = quotas_with(unlimited(max_parallel=3), harbour=Harbour(acc1=Moored(1, frozenset({1}))))
    await quotas.count_berths(["acc1"])
    berths = [quotas.allow(a_job()) for _ in range(3)]
    assert berths == [Allowance(berth=0), Allowance(berth=2), None]
    assert quotas.stuck(["acc1"]) == {"acc1"}


async def test_a_job_without_a_berth_leaves_its_tokens_in_the_grant() -> None:
    quotas = quotas_with(a_grant(tokens=36, max_parallel=1), harbour=Harbour(acc1=Moored(1, frozenset({0}))))
    await quotas.count_berths(["acc1"])
    assert quotas.allow(a_job()) is None
    quotas.budgets.take([a_grant("other", grant="g2")], NOW)
    assert quotas.budgets.reserve("acc1", 36, NOW) is not None
    assert quotas.budgets.to_return(NOW, everything=True)[0].tokens == 36


async def test_nobody_is_counted_who_has_no_cap() -> None:
    harbour = Harbour()
    await quotas_with(unlimited(), harbour=harbour).count_berths(["acc1", "acc2"])
    assert harbour.questions == 0


@pytest.mark.parametrize(
    ("most", "moored", "free"),
    [
        (3, Moored(), [2, 1, 0]),
        (3, Moored(2, frozenset({0, 2})), [1]),
        (3, Moored(2), [0]),
        (1, Moored(5, frozenset({0})), []),
        (0, Moored(), []),
    ],
)
def test_berths_are_free_as_long_as_the_cap_is_not_reached(most: int, moored: Moored, free: list[int]) -> None:
    assert free_berths(most, moored) == free


def test_a_cap_beyond_reason_costs_nothing() -> None:
    assert len(free_berths(2**53, Moored())) == 512


def test_a_claim_says_what_it_takes_and_its_end_leaves_the_berth() -> None:
    lease = Lease(worker="w1", token="t", session="s")
    claim = transitions.assigned(a_job(), Placement("w1", "m", "why"), lease, a_moment(), Allowance("g1", 36, 2))
    assert allowance_of(claim) == Allowance("g1", 36, 2)
    assert claim.after.berth == 2
    for ended in (transitions.canceled(claim.after, "user", a_moment()), _requeued(claim.after)):
        assert ended.after.berth is None


def test_a_job_without_a_berth_leaves_none() -> None:
    assert "berth" not in transitions.canceled(a_claimed_record(), "user", a_moment()).values


def test_a_job_over_quota_is_held_and_comes_back_where_it_is_told() -> None:
    held = holds.over_quota(a_job(), HeldUntil(TOMORROW), a_moment())
    assert (held.after.state, held.after.reason, held.after.held_until) == (State.HELD, Reason.QUOTA, TOMORROW)
    thawed = holds.thawed(held.after, 7.5, a_moment(RECORDED))
    assert (thawed.after.state, thawed.after.reason, thawed.after.held_until) == (State.QUEUED, None, None)
    assert thawed.after.fair == 7.5


def _requeued(job: JobRecord) -> Any:
    return transitions.requeued(job, transitions.Setback(Reason.LEASE_LOST), a_moment())
