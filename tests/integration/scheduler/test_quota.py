"""Jobs under a quota: what is reserved for them, when they are held, and when they go again."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from gridloom_contract.events import JobAssigned, JobFinished, JobHeld, JobReleased, JobRequeued
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import State
from gridloom_testing.builders import a_submission
from integration.scheduler.conftest import Replica, StartScheduler, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, toiling
from integration.scheduler.scripted_quota import ScriptedQuota

OTHER = "acc2"
SMALL = Task(prompt="Hi", params={"max_tokens": 10})
"""27 tokens: one for its prompt, 16 for the template, 10 for the answer."""
SMALL_TOKENS = 27


async def submit_many(gateway: Gateway, count: int, **changes: Any) -> list[str]:
    submissions = [a_submission(task=SMALL, **changes) for _ in range(count)]
    await gateway.insist(*submissions)
    return [submission.job for submission in submissions]


async def states_of(gateway: Gateway, jobs: list[str], account: str = ACCOUNT) -> list[State]:
    return [(await gateway.job(job, account)).state for job in jobs]


async def until_asked(quota: ScriptedQuota, times: int) -> None:
    async with asyncio.timeout(10):
        while len(quota.asked) < times:
            await asyncio.sleep(0.02)


async def test_a_claim_names_its_grant_and_the_tokens_reserved_for_it(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 1_000
    worker = await start_worker()
    job = await gateway.submit(task=SMALL)
    await worker.next_order()
    [assigned] = [fact for fact in await gateway.timeline(job) if isinstance(fact, JobAssigned)]
    assert assigned.reserved_tokens == SMALL_TOKENS
    assert assigned.grant in quota.granted


async def test_an_account_without_limits_costs_one_question_however_many_jobs_it_has(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    async with toiling(await start_worker(slots=4)):
        jobs = await submit_many(gateway, 50)
        for job in jobs:
            await gateway.until(job, State.SUCCEEDED)
    facts = [fact for job in jobs for fact in await gateway.timeline(job) if isinstance(fact, JobAssigned)]
    assert {(fact.grant, fact.reserved_tokens) for fact in facts} == {(None, 0)}
    assert len(quota.asked) == 1


async def test_a_job_over_quota_is_held_and_says_until_when(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 0
    await start_worker()
    job = await gateway.until(await gateway.submit(task=SMALL), State.HELD)
    [held] = [fact for fact in await gateway.timeline(job.job) if isinstance(fact, JobHeld)]
    assert (job.reason, held.reason) == ("quota", "quota")
    assert job.held_until is not None
    assert job.held_until == held.until


async def test_a_job_that_comes_while_its_account_is_over_quota_is_held_from_the_start(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 0
    await start_worker()
    await gateway.until(await gateway.submit(task=SMALL), State.HELD)
    jobs = await submit_many(gateway, 3)
    assert await states_of(gateway, jobs) == [State.HELD] * 3
    assert len(quota.asked) == 1


async def test_held_jobs_go_within_two_seconds_once_there_is_room(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 0
    async with toiling(await start_worker(slots=4)):
        jobs = await submit_many(gateway, 100)
        for job in jobs:
            await gateway.until(job, State.HELD)
        await quota.release(ACCOUNT, 1_000_000)
        await gateway.until(min(jobs), State.SUCCEEDED, within_seconds=2.0)
        for job in jobs:
            await gateway.until(job, State.SUCCEEDED)


async def test_held_jobs_go_in_the_order_in_which_they_came(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 0
    worker = await start_worker()
    jobs = [await gateway.submit(task=SMALL) for _ in range(20)]
    for job in jobs:
        await gateway.until(job, State.HELD)
    await quota.release(ACCOUNT, 1_000_000)
    done = []
    for _ in jobs:
        order = await worker.next_order()
        done.append(order.job)
        await worker.do(order)
    assert done == jobs


async def test_a_little_room_does_not_set_everything_in_motion(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 0
    worker = await start_worker(slots=2)
    jobs = await submit_many(gateway, 60)
    for job in jobs:
        await gateway.until(job, State.HELD)
    await quota.release(ACCOUNT, SMALL_TOKENS)
    order = await worker.next_order()
    await asyncio.gather(*(gateway.until(job, State.HELD) for job in jobs if job != order.job))
    released = [fact for job in jobs for fact in await gateway.timeline(job) if isinstance(fact, JobReleased)]
    assert order.job in sorted(jobs)[:8]
    assert len(released) < 20


async def seconds_after_its_time(gateway: Gateway, job: str) -> float | None:
    """Return how long after its hold was over the job was let go; None if it was not yet.

    A scheduler that has just become the leader lets all go once, before their time: that does not count.
    """
    facts = [fact for fact in await gateway.timeline(job) if isinstance(fact, (JobHeld, JobReleased))]
    for held, released in pairwise(facts):
        if isinstance(held, JobHeld) and held.until is not None and released.at >= held.until:
            return (released.at - held.until).total_seconds()
    return None


async def test_a_hold_ends_by_time_even_while_the_quota_service_is_down(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT], quota.held_seconds = 0, 2.0
    await start_worker()
    job = await gateway.until(await gateway.submit(task=SMALL), State.HELD)
    await quota.close()
    async with asyncio.timeout(20):
        while (late_seconds := await seconds_after_its_time(gateway, job.job)) is None:
            await asyncio.sleep(0.05)
    assert late_seconds < 2


async def test_while_the_quota_service_is_down_what_is_granted_is_used_and_then_jobs_wait(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT], quota.spare = 10_000, SMALL_TOKENS * 2
    worker = await start_worker(slots=4)
    await gateway.submit(task=SMALL)
    await worker.next_order()
    await quota.close()
    jobs = await submit_many(gateway, 3)
    went = {(await worker.next_order()).job for _ in range(2)}
    [left] = set(jobs) - went
    await worker.beaten(5)
    assert (await gateway.job(left)).state is State.QUEUED
    await quota.open()
    assert (await worker.next_order()).job == left


async def test_others_go_past_an_account_that_waits_for_a_grant(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    async with toiling(await start_worker()):
        [first] = await submit_many(gateway, 1, account=OTHER)
        async with asyncio.timeout(10):
            while (await gateway.job(first, OTHER)).state is not State.SUCCEEDED:
                await asyncio.sleep(0.02)
        quota.room[ACCOUNT] = 0
        await quota.close()
        await submit_many(gateway, 300)
        jobs = await submit_many(gateway, 30, account=OTHER)
        async with asyncio.timeout(3):
            while set(await states_of(gateway, jobs, OTHER)) != {State.SUCCEEDED}:
                await asyncio.sleep(0.02)


async def test_an_account_never_has_more_jobs_in_hand_than_its_plan_allows_among_several_schedulers(
    start_scheduler: StartScheduler, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.most_parallel[ACCOUNT] = 3
    await start_scheduler()
    await start_scheduler()
    await gateway.until_answered()
    workers = [await start_worker(slots=2) for _ in range(6)]
    jobs = await submit_many(gateway, 40)
    async with toiling(*workers):
        for job in jobs:
            await gateway.until(job, State.SUCCEEDED)
    assert most_at_once([await gateway.timeline(job) for job in jobs]) == 3


async def test_others_go_past_an_account_that_has_all_it_may_have_in_hand(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.most_parallel[ACCOUNT] = 1
    worker = await start_worker(slots=2)
    await submit_many(gateway, 300)
    kept = await worker.next_order()
    jobs = await submit_many(gateway, 30, account=OTHER)
    for _ in jobs:
        order = await worker.next_order()
        assert order.job in jobs
        await worker.do(order)
    await worker.do(kept)
    assert (await worker.next_order()).job not in jobs


async def test_a_raised_cap_is_used_at_once(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.most_parallel[ACCOUNT] = 1
    worker = await start_worker(slots=2)
    await submit_many(gateway, 2)
    await worker.next_order()
    await quota.change_plan(ACCOUNT, most_parallel=2)
    await worker.next_order(within_seconds=2.0)


async def test_an_attempt_that_ends_without_an_answer_is_named_as_it_was_assigned(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT] = 10_000
    worker = await start_worker()
    job = await gateway.submit(task=SMALL)
    await worker.end(
        await worker.next_order(), output=None, fault=Fault(code=FaultCode.UPSTREAM, message="no", retryable=True)
    )
    await worker.do(await worker.next_order())
    facts = await gateway.timeline(job)
    assigned = [fact.attempt for fact in facts if isinstance(fact, JobAssigned)]
    ended = [fact.attempt for fact in facts if isinstance(fact, (JobRequeued, JobFinished))]
    assert assigned == ended == [1, 2]


async def test_what_was_granted_goes_back_when_it_lies_idle_and_when_the_scheduler_stops(
    scheduler: Replica, gateway: Gateway, quota: ScriptedQuota, start_worker: StartWorker
) -> None:
    quota.room[ACCOUNT], quota.spare = 10_000, 100
    worker = await start_worker()
    await gateway.submit(task=SMALL)
    await worker.next_order()
    await scheduler.stop()
    assert quota.returned == {"g1": SMALL_TOKENS}


def most_at_once(timelines: list[tuple[Any, ...]]) -> int:
    """Return how many of these jobs were in hand at the same time at most."""
    steps = []
    for timeline in timelines:
        steps += [(fact.at, 1) for fact in timeline if isinstance(fact, JobAssigned)]
        steps += [(fact.at, -1) for fact in timeline if isinstance(fact, (JobFinished, JobRequeued))]
    level = most = 0
    for _, step in sorted(steps):
        level += step
        most = max(most, level)
    return most
