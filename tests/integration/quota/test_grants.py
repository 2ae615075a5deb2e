"""Tokens move from headroom to grants, reservations and settlements, on real servers."""

from __future__ import annotations

import pytest

from gridloom_contract.fault import FaultError
from gridloom_contract.vocabulary import State
from integration.quota.conftest import Replica
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler


async def test_an_account_without_limits_needs_no_reservation(quota: Replica, scheduler: Scheduler) -> None:
    grant = await scheduler.take("acme", 500)
    assert grant.unlimited
    assert grant.grant is None
    assert grant.expires_at is not None


async def test_a_job_is_reserved_for_and_settled_with_what_it_used(
    quota: Replica, gateway: Gateway, scheduler: Scheduler, ledger: Ledger
) -> None:
    await gateway.plan_of("acme", monthly_tokens=10_000)
    grant = await scheduler.take("acme", 500)
    assert grant.tokens == 1_250  # an eighth of the headroom

    job = JobStory("acme")
    await scheduler.tell(job.assigned(grant.grant, 500))
    month = await gateway.until("acme", lambda month: month.reserved == 500)
    assert (month.used, month.headroom) == (0, 8_750)

    end = job.finished(430)
    ledger.book(end)
    await scheduler.tell(end)
    month = await gateway.until("acme", lambda month: month.used == 430)
    assert (month.reserved, month.headroom) == (0, 10_000 - 430 - 750)
    assert (await gateway.verify()).differences == ()


@pytest.mark.parametrize("tell_end", [JobStory.requeued, lambda job: job.finished(None, State.CANCELED)])
async def test_what_was_reserved_is_released_when_nothing_was_used(
    quota: Replica, gateway: Gateway, scheduler: Scheduler, tell_end: object
) -> None:
    await gateway.plan_of("acme", daily_tokens=1_000)
    grant = await scheduler.take("acme", 1_000)
    job = JobStory("acme")
    await scheduler.tell(job.assigned(grant.grant, 1_000))
    await gateway.until("acme", lambda month: month.reserved == 1_000)

    await scheduler.tell(tell_end(job))  # type: ignore[operator]

    await gateway.until("acme", lambda month: month.reserved == 0)
    assert (await gateway.quota("acme")).windows[0].headroom == 1_000


async def test_facts_told_twice_and_backwards_count_once(
    quota: Replica, gateway: Gateway, scheduler: Scheduler, ledger: Ledger
) -> None:
    await gateway.plan_of("acme", monthly_tokens=8_000)
    grant = await scheduler.take("acme", 1_000)
    job, marker = JobStory("acme"), JobStory("acme")
    facts = [job.assigned(grant.grant, 300), job.requeued(), job.assigned(grant.grant, 200), job.finished(120)]
    ledger.book(*facts)

    await scheduler.tell(*reversed(facts), *facts, *facts)
    await scheduler.tell(marker.assigned(grant.grant, 7))

    await gateway.until("acme", lambda month: (month.used, month.reserved) == (120, 7))
    assert (await gateway.verify()).differences == ()


async def test_what_a_grant_did_not_spend_comes_back_when_it_is_returned(
    quota: Replica, gateway: Gateway, scheduler: Scheduler
) -> None:
    await gateway.plan_of("acme", monthly_tokens=1_000)
    grant = await scheduler.take("acme", 600)
    assert (await gateway.month("acme")).headroom == 400

    assert await scheduler.give_back(grant.grant, spent=250) == 1
    assert (await gateway.month("acme")).headroom == 750

    await scheduler.tell(JobStory("acme").assigned(grant.grant, 250))  # the fact comes late
    month = await gateway.until("acme", lambda month: month.reserved == 250)
    assert month.headroom == 750
    assert await scheduler.give_back(grant.grant, spent=250) == 0


async def test_only_its_holder_returns_a_grant(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    await gateway.plan_of("acme", monthly_tokens=1_000)
    grant = await scheduler.take("acme", 600, holder="s1")
    assert await scheduler.give_back(grant.grant, spent=0, holder="s2") == 0
    assert (await gateway.month("acme")).headroom == 400


async def test_an_account_over_quota_is_told_when_every_exhausted_window_has_turned(
    quota: Replica, gateway: Gateway, scheduler: Scheduler
) -> None:
    await gateway.plan_of("acme", daily_tokens=100, monthly_tokens=200)
    small = await scheduler.take("acme", 150)
    large = await scheduler.take("acme", 250)

    day, _, month = (await gateway.quota("acme")).windows
    assert (small.tokens, small.held_until) == (0, day.resets_at)
    assert (large.tokens, large.held_until) == (0, month.resets_at)


async def test_an_account_is_told_whether_what_others_have_in_hand_may_be_enough(
    quota: Replica, gateway: Gateway, scheduler: Scheduler
) -> None:
    await gateway.plan_of("acme", daily_tokens=1_000)
    await scheduler.take("acme", 900)
    refused = await scheduler.take("acme", 200)
    beyond = await scheduler.take("acme", 1_001)

    [day, *_] = (await gateway.quota("acme")).windows
    assert (refused.held_until, refused.spent_until) == (day.resets_at, None)
    assert (beyond.held_until, beyond.spent_until) == (day.resets_at, day.resets_at)


async def test_the_plan_says_how_many_jobs_run_at_once(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    await gateway.plan_of("acme", monthly_tokens=1_000, max_parallel_jobs=3)
    await gateway.plan_of("umbrella", max_parallel_jobs=5)
    grants = await scheduler.take_many([("acme", 1), ("umbrella", 1), ("initech", 1)])
    assert [(grant.account, grant.max_parallel) for grant in grants] == [
        ("acme", 3),
        ("umbrella", 5),
        ("initech", None),
    ]


async def test_an_unknown_plan_is_not_assigned(quota: Replica, gateway: Gateway) -> None:
    with pytest.raises(FaultError, match="no plan"):
        await gateway.assign("acme", "gold")
