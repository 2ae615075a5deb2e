"""What an owner may order and ask: list, cancel, retry, reprioritise; and what stays hidden from everybody else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gridloom_contract import registry, subjects
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import (
    MAX_INLINE_BYTES,
    CancelAllJobs,
    CancelJob,
    GetJob,
    GetTimeline,
    Job,
    ListJobs,
    ReprioritiseJob,
    RetryJob,
    Submission,
    Task,
)
from gridloom_contract.vocabulary import Match, State
from gridloom_contract.work import Verdict
from gridloom_kit.wire import Headers
from gridloom_testing.builders import a_job_id, a_submission
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, ScriptedWorker, names_of

STRANGER = "acc2"
NOBODY_SERVES = {"model": "synthetic"}


@pytest.fixture
async def busy_worker(scheduler: Replica, gateway: Gateway, start_worker: StartWorker) -> ScriptedWorker:
    """A worker whose only slot is taken, so that whatever is submitted next waits."""
    worker = await start_worker()
    await gateway.submit()
    await worker.start(await worker.next_order())
    return worker


async def test_a_job_submitted_twice_is_accepted_once(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    submission = a_submission()

    [first] = await gateway.try_submit(submission)
    [again] = await gateway.try_submit(submission)
    [twin, other] = await gateway.try_submit(submission, submission)

    assert first.fault is again.fault is twin.fault is other.fault is None
    assert first.created_at == again.created_at == twin.created_at == other.created_at
    assert names_of(await gateway.timeline(submission.job)) == ["accepted"]


async def test_a_job_twice_in_one_request_is_one_job(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    submission = a_submission()

    outcomes = await gateway.try_submit(submission, submission)

    assert [outcome.fault for outcome in outcomes] == [None, None]
    assert names_of(await gateway.timeline(submission.job)) == ["accepted"]


async def test_a_job_id_of_another_account_is_refused(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    submission = a_submission()
    await gateway.try_submit(submission)

    [outcome] = await gateway.try_submit(a_submission(job=submission.job, account=STRANGER))

    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.CONFLICT
    assert (await gateway.job(submission.job)).account == ACCOUNT


@pytest.mark.parametrize(
    ("submission", "code"),
    [
        (a_submission(model="nobody-offers-this"), FaultCode.UNKNOWN_MODEL),
        (a_submission(model="nobody", match=Match.FAMILY), FaultCode.UNKNOWN_MODEL),
        (a_submission(node="wnobody"), FaultCode.NO_CAPACITY),
        (a_submission(job="not an id"), FaultCode.INVALID),
        (a_submission(timeout_seconds=0), FaultCode.INVALID),
        (a_submission(priority=10_000_000), FaultCode.INVALID),
    ],
)
async def test_what_cannot_be_carried_out_is_refused(
    gateway: Gateway, busy_worker: ScriptedWorker, submission: Submission, code: FaultCode
) -> None:
    [refused, accepted] = await gateway.try_submit(submission, a_submission())

    assert refused.fault is not None
    assert refused.fault.code is code
    assert accepted.fault is None


async def test_an_unknown_model_is_answered_with_those_that_exist(
    gateway: Gateway, busy_worker: ScriptedWorker
) -> None:
    [outcome] = await gateway.try_submit(a_submission(model="gpt-17"))

    assert outcome.fault is not None
    assert "synthetic" in outcome.fault.message


async def test_odd_but_legal_json_survives_the_database(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    params = {"$a.b": {"": 10**30, "\u0000": [None, 1.5]}, "text": "\u0000 ☂ \U0001f916"}

    job = await gateway.submit(task=Task(prompt="x\u0000y", params=params), echo={"$where": {"a.b": 2**70}})

    found = await gateway.job(job)
    assert found.task.prompt == "x\u0000y"
    assert found.task.params["text"] == params["text"]
    assert found.echo == {"$where": {"a.b": 2**70}}


@pytest.mark.parametrize("ask", ["get", "cancel", "retry", "priority", "timeline"])
async def test_a_strangers_job_and_one_that_never_was_look_the_same(
    gateway: Gateway, busy_worker: ScriptedWorker, ask: str
) -> None:
    faults = []
    for job in (await gateway.submit(), a_job_id()):
        channel, message = {
            "get": (registry.GET_JOB, GetJob(job=job, account=STRANGER)),
            "cancel": (registry.CANCEL_JOB, CancelJob(job=job, account=STRANGER)),
            "retry": (registry.RETRY_JOB, RetryJob(job=job, account=STRANGER)),
            "priority": (registry.REPRIORITISE_JOB, ReprioritiseJob(job=job, account=STRANGER, delta=1)),
            "timeline": (registry.GET_TIMELINE, GetTimeline(job=job, account=STRANGER)),
        }[ask]
        with pytest.raises(FaultError) as refused:
            await gateway.ask(channel, message)
        faults.append(refused.value.fault)

    assert faults[0] == faults[1]
    assert faults[0].code is FaultCode.NOT_FOUND


async def test_who_asks_for_a_job_and_follows_it_is_told_its_end(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    ends = asyncio.Queue[Job]()

    async def on_end(end: Job, _subject: str, _headers: Headers) -> None:
        ends.put_nowait(end)

    await gateway.bus.subscribe(subjects.ended("g1", "*"), Job, on_end)
    followed, other = await gateway.submit(), await gateway.submit()
    await gateway.ask(registry.GET_JOB, GetJob(job=followed, account=ACCOUNT, waiter="g1"))
    with pytest.raises(FaultError):
        await gateway.ask(registry.GET_JOB, GetJob(job=other, account=STRANGER, waiter="g1"))

    for job in (other, followed):
        await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))

    async with asyncio.timeout(10):
        end = await ends.get()
    assert (end.job, end.state, ends.qsize()) == (followed, State.CANCELED, 0)


async def test_jobs_are_listed_newest_first_by_state_tag_and_page(
    gateway: Gateway, busy_worker: ScriptedWorker
) -> None:
    jobs = [await gateway.submit(tag="even" if number % 2 == 0 else None) for number in range(5)]
    await gateway.submit(account=STRANGER)

    async def listed(**fields: object) -> tuple[list[str], int]:
        page = await gateway.ask(registry.LIST_JOBS, ListJobs(account=ACCOUNT, **fields))
        return [job.job for job in page.jobs], page.total

    assert await listed(states=(State.QUEUED,)) == (jobs[::-1], 5)
    assert await listed(tag="even") == ([jobs[4], jobs[2], jobs[0]], 3)
    assert await listed(states=(State.QUEUED,), page=2, per_page=2) == ([jobs[2], jobs[1]], 5)
    assert await listed(page=9) == ([], 6)
    assert await listed(states=(State.SUCCEEDED,)) == ([], 0)


async def test_a_waiting_job_has_a_place_and_an_estimate(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    first, second = await gateway.submit(), await gateway.submit()
    urgent = await gateway.submit(priority=5)

    places = [(await gateway.job(job)).queue_position for job in (urgent, first, second)]

    assert places == [1, 2, 3]


async def test_a_waiting_job_is_canceled_at_once(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    job = await gateway.submit()

    canceled = await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT, waiting_only=True))

    assert (canceled.state, canceled.reason) == (State.CANCELED, "user")
    assert names_of(await gateway.timeline(job)) == ["accepted", "finished"]


async def test_a_running_job_is_canceled_and_its_worker_told_to_stop(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    order = await worker.next_order()
    await worker.start(order)

    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))

    stop = await asyncio.wait_for(worker.stops.get(), 5)
    assert (stop.job, stop.attempt) == (job, 1)
    assert (await worker.end(order)).results == (Verdict.STALE,)
    assert (await gateway.job(job)).state is State.CANCELED
    # The slot is free again: the next job gets it.
    again = await gateway.submit()
    assert (await worker.next_order()).job == again


async def test_only_a_waiting_job_is_canceled_if_so_asked(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    running = next(iter(busy_worker.holding))

    with pytest.raises(FaultError) as refused:
        await gateway.ask(registry.CANCEL_JOB, CancelJob(job=running, account=ACCOUNT, waiting_only=True))

    assert refused.value.fault.code is FaultCode.CONFLICT
    assert (await gateway.job(running)).state is State.RUNNING


async def test_canceling_twice_changes_nothing_more(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    job = await gateway.submit()

    first = await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))
    again = await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))

    assert first.ended_at == again.ended_at
    assert names_of(await gateway.timeline(job)) == ["accepted", "finished"]


async def test_jobs_that_are_canceled_all_at_once_and_twice_end_once_each(
    gateway: Gateway, busy_worker: ScriptedWorker
) -> None:
    jobs = [await gateway.submit() for _ in range(20)]

    canceled = await asyncio.gather(
        *(gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT)) for job in jobs * 2)
    )

    assert {job.state for job in canceled} == {State.CANCELED}
    for job in jobs:
        assert names_of(await gateway.timeline(job)) == ["accepted", "finished"]


async def test_all_waiting_jobs_of_an_account_are_canceled_and_nobody_elses(
    gateway: Gateway, busy_worker: ScriptedWorker
) -> None:
    mine = [await gateway.submit() for _ in range(3)]
    other = await gateway.submit(account=STRANGER)

    answer = await gateway.ask(registry.CANCEL_ALL_JOBS, CancelAllJobs(account=ACCOUNT))

    assert answer.count == 3
    assert {(await gateway.job(job)).state for job in mine} == {State.CANCELED}
    assert (await gateway.job(other, STRANGER)).state is State.QUEUED
    assert (await gateway.job(next(iter(busy_worker.holding)))).state is State.RUNNING


async def test_a_canceled_job_runs_again_when_retried(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    await worker.next_order()
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))

    await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account=ACCOUNT))

    order = await worker.next_order()
    assert (order.job, order.attempt) == (job, 2)
    await worker.do(order)
    assert (await gateway.job(job)).state is State.SUCCEEDED
    assert names_of(await gateway.timeline(job))[-5:] == ["finished", "retried", "assigned", "started", "finished"]


async def test_a_failed_job_starts_afresh_when_retried(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    fault = Fault(code=FaultCode.INVALID, message="the prompt is too long")
    await worker.end(await worker.next_order(), fault=fault, output=None)
    assert (await gateway.job(job)).error == fault

    await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account=ACCOUNT))

    order = await worker.next_order()
    assert order.attempt == 2
    retried = await gateway.job(job)
    assert (retried.error, retried.ended_at) == (None, None)


async def test_a_job_that_succeeded_or_still_waits_cannot_be_retried(
    gateway: Gateway, busy_worker: ScriptedWorker
) -> None:
    with pytest.raises(FaultError) as refused:
        await gateway.ask(registry.RETRY_JOB, RetryJob(job=await gateway.submit(), account=ACCOUNT))

    assert refused.value.fault.code is FaultCode.CONFLICT


async def test_a_job_that_is_moved_up_overtakes_the_others(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    jobs = [await gateway.submit() for _ in range(3)]

    moved = await gateway.ask(registry.REPRIORITISE_JOB, ReprioritiseJob(job=jobs[2], account=ACCOUNT, delta=4))
    [running] = list(busy_worker.holding)
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=running, account=ACCOUNT))

    assert moved.priority == 4
    assert (await busy_worker.next_order()).job == jobs[2]


async def test_a_running_job_cannot_be_moved(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    running = next(iter(busy_worker.holding))

    with pytest.raises(FaultError) as refused:
        await gateway.ask(registry.REPRIORITISE_JOB, ReprioritiseJob(job=running, account=ACCOUNT, delta=1))

    assert refused.value.fault.code is FaultCode.CONFLICT


async def test_a_task_that_should_travel_by_reference_is_refused_by_name(
    gateway: Gateway, busy_worker: ScriptedWorker
) -> None:
    [outcome] = await gateway.try_submit(a_submission(task=Task(prompt="x" * MAX_INLINE_BYTES)))

    assert outcome.fault is not None
    assert outcome.fault.code is FaultCode.TOO_LARGE


async def test_the_largest_question_with_the_largest_answer_can_be_read(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    question, answer = "\x01" * ((MAX_INLINE_BYTES - 20) // 6), "\x01" * ((MAX_INLINE_BYTES - 2) // 6)
    job = await gateway.submit(task=Task(prompt=question))

    await worker.end(await worker.next_order(), output=answer)

    found = await gateway.job(job)
    assert (found.output, found.task.prompt) == (answer, question)


async def test_a_deadline_ends_a_waiting_job(gateway: Gateway, busy_worker: ScriptedWorker) -> None:
    job = await gateway.submit(deadline_at=datetime.now(UTC) + timedelta(seconds=0.1))

    ended = await gateway.until(job, State.CANCELED)

    assert ended.reason == "deadline"
    assert ended.started_at is None


async def test_a_timeout_runs_from_the_claim_and_stops_the_worker(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit(timeout_seconds=0.2)
    order = await worker.next_order()
    await worker.start(order)

    ended = await gateway.until(job, State.CANCELED)

    assert ended.reason == "timeout"
    assert (await asyncio.wait_for(worker.stops.get(), 5)).job == job
    assert (await worker.end(order)).results == (Verdict.STALE,)
