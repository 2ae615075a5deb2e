"""Whoever was refused hears of it within a second when there is headroom again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gridloom_contract import quota as contract
from gridloom_contract import registry
from gridloom_contract.vocabulary import State
from integration.quota.conftest import Replica, StartQuota
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler


async def exhaust(gateway: Gateway, scheduler: Scheduler, account: str = "acme") -> contract.Grant:
    """Bring an account to its limit: all of it granted, and a job refused."""
    await gateway.plan_of(account, daily_tokens=1_000)
    grant = await scheduler.take(account, 1_000)
    assert grant.tokens == 1_000
    assert (await scheduler.take(account, 100)).tokens == 0
    assert (await gateway.quota(account)).held_until == (await gateway.quota(account)).windows[0].resets_at
    return grant


async def test_when_the_window_turns(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    grant = await exhaust(gateway, scheduler)
    job = JobStory("acme")
    await scheduler.tell(job.assigned(grant.grant, 1_000), job.finished(1_000))
    await gateway.until("acme", lambda month: month.used == 1_000)
    assert (await scheduler.take("acme", 100)).tokens == 0
    scheduler.released.clear()

    quota.clock.ahead += timedelta(days=1)

    await scheduler.until_released("acme", within_seconds=1.0)
    assert (await scheduler.take("acme", 100)).tokens == 125
    day, _, month = (await gateway.quota("acme")).windows
    assert (day.used, month.used in {0, 1_000}) == (0, True)


async def test_when_the_plan_is_raised(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    await exhaust(gateway, scheduler)
    await exhaust(gateway, scheduler, "umbrella")
    await gateway.put_plan("plan-of-acme", daily_tokens=5_000)
    await scheduler.until_changed()
    await scheduler.until_released("acme", within_seconds=1.0)
    assert "umbrella" not in scheduler.released


async def test_when_the_account_gets_another_plan(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    await exhaust(gateway, scheduler)
    await gateway.assign("acme", "default")
    await scheduler.until_changed("acme")
    await scheduler.until_released("acme", within_seconds=1.0)


async def test_when_a_reservation_is_released(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    grant = await exhaust(gateway, scheduler)
    job = JobStory("acme")
    await scheduler.tell(job.assigned(grant.grant, 1_000), job.finished(None, State.CANCELED))
    await scheduler.until_released("acme", within_seconds=1.0)


async def test_when_a_grant_comes_back(quota: Replica, gateway: Gateway, scheduler: Scheduler) -> None:
    grant = await exhaust(gateway, scheduler)
    await scheduler.give_back(grant.grant, spent=0)
    await scheduler.until_released("acme", within_seconds=1.0)


async def test_when_the_grant_of_a_dead_scheduler_ends(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler
) -> None:
    await start_quota(grant_seconds=0.4, grant_grace_seconds=0.4)
    await exhaust(gateway, scheduler)
    await scheduler.until_released("acme", within_seconds=3.0)
    assert (await gateway.month("acme")).limit is None
    assert (await gateway.quota("acme")).windows[0].headroom == 1_000


async def test_nobody_hears_of_an_account_that_stays_exhausted(
    quota: Replica, gateway: Gateway, scheduler: Scheduler
) -> None:
    grant = await exhaust(gateway, scheduler)
    job = JobStory("acme")
    await scheduler.tell(job.assigned(grant.grant, 1_000), job.finished(950))
    await gateway.until("acme", lambda month: month.used == 950)
    await asyncio.sleep(0.6)  # two looks at what is due
    assert scheduler.released == []


async def test_a_reservation_whose_end_was_never_heard_of_lapses(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler, ledger: Ledger
) -> None:
    await start_quota(reservation_seconds=0.5, lapse_check_seconds=0.1)
    await gateway.plan_of("acme", daily_tokens=1_000)
    await scheduler.tell(JobStory("acme").assigned(None, 400))
    await gateway.until("acme", lambda month: month.reserved == 400)
    await gateway.until("acme", lambda month: month.reserved == 0)
    assert (await gateway.verify()).differences == ()


async def test_the_default_plan_is_there_and_may_be_changed(
    quota: Replica, gateway: Gateway, scheduler: Scheduler
) -> None:
    listed = await gateway.bus.request(registry.LIST_PLANS, contract.ListPlans())
    assert listed.plans == (contract.Plan(name="default"),)
    await gateway.put_plan("default", daily_tokens=10, priority_boost=2)
    assert (await gateway.quota("anybody")).plan.priority_boost == 2
    assert (await scheduler.take("anybody", 11)).tokens == 0
    await gateway.put_plan("default", daily_tokens=100)
    await scheduler.until_released("anybody", within_seconds=1.0)
