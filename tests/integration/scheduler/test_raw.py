"""What raw tasks and those who wait for an answer need of the scheduler: kinds, capacity, providers and listings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gridloom_contract import registry
from gridloom_contract.fault import FaultCode
from gridloom_contract.fleet import DrainWorker, ListModels
from gridloom_contract.jobs import ListJobs, RetryJob, Task
from gridloom_contract.vocabulary import Kind, Match, State, Usage
from gridloom_contract.work import ModelSpeed, Verdict
from gridloom_testing.builders import a_submission, a_worker_id, an_offer
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, ScriptedWorker, names_of

CHAT = Task(raw={"messages": [{"role": "user", "content": "Name three rivers."}], "logprobs": True})
EMBED = Task(kind=Kind.EMBEDDING, raw={"input": "Name three rivers."})


@pytest.fixture
async def worker(scheduler: Replica, start_worker: StartWorker) -> ScriptedWorker:
    """A worker with one slot that chats with one model and embeds with another."""
    return await start_worker(offers=(an_offer(), an_offer(model="embedder", kind=Kind.EMBEDDING)))


@pytest.fixture
async def busy(gateway: Gateway, worker: ScriptedWorker) -> ScriptedWorker:
    """The same, at work."""
    await gateway.submit()
    await worker.start(await worker.next_order())
    return worker


async def refusal(gateway: Gateway, **changes: Any) -> tuple[FaultCode, str | None]:
    """Return with what a submission is refused."""
    [outcome] = await gateway.try_submit(a_submission(**changes))
    assert outcome.fault is not None
    return outcome.fault.code, outcome.fault.field


async def test_a_raw_task_reaches_its_worker_as_it_was_and_its_body_comes_back(
    gateway: Gateway, worker: ScriptedWorker
) -> None:
    job = await gateway.submit(task=CHAT)
    order = await worker.next_order()
    tokens = [{"token": "Nile", "logprob": -0.5, "top_logprobs": []}] * 60
    body = {"choices": [{"message": {"content": "Nile"}, "logprobs": {"content": tokens}}]}
    output, usage = msgspec.json.encode(body).decode(), Usage(tokens_in=9, tokens_out=1)
    await worker.start(order)
    await worker.end(order, output=output, usage=usage)

    assert order.task == CHAT
    ended = await gateway.job(job)
    assert (ended.state, ended.output, ended.task) == (State.SUCCEEDED, output, CHAT)
    assert ended.usage == usage  # although what is about the answer is 60 times as long as the answer


async def test_an_answer_to_a_raw_task_that_is_no_body_is_bad_output(gateway: Gateway, worker: ScriptedWorker) -> None:
    job = await gateway.submit(task=CHAT, max_attempts=1)
    order = await worker.next_order()
    await worker.start(order)
    await worker.end(order, output="Nile")
    ended = await gateway.job(job)
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error.code is FaultCode.BAD_OUTPUT


@pytest.mark.parametrize(
    ("model", "task", "match"),
    [
        ("embedder", CHAT, Match.EXACT),
        ("embedder", Task(kind=Kind.COMPLETION, prompt="x"), Match.EXACT),
        ("synthetic", EMBED, Match.EXACT),
        ("synthetic:small", EMBED, Match.FAMILY),
    ],
)
async def test_a_model_of_another_kind_is_refused(
    gateway: Gateway, worker: ScriptedWorker, model: str, task: Task, match: Match
) -> None:
    assert await refusal(gateway, model=model, task=task, match=match) == (FaultCode.INVALID, "model")


async def test_a_model_may_do_several_kinds_of_tasks(
    gateway: Gateway, worker: ScriptedWorker, start_worker: StartWorker
) -> None:
    await start_worker(offers=(an_offer(model="both", features=("embedding",)),))
    await start_worker(offers=(an_offer(model="embedder", kind=Kind.CHAT),))
    tasks = {"both": (CHAT, EMBED), "embedder": (CHAT, EMBED), "synthetic": (Task(kind=Kind.COMPLETION, prompt="x"),)}
    for model, allowed in tasks.items():
        for task in allowed:
            await gateway.submit(model=model, task=task)


async def test_a_job_that_nobody_claims_in_time_fails(gateway: Gateway, busy: ScriptedWorker) -> None:
    job = await gateway.submit(capacity_wait_seconds=0.2)
    patient = await gateway.submit(capacity_wait_seconds=600.0)

    ended = await gateway.until(job, State.FAILED)
    facts = await gateway.timeline(job)
    assert ended.error is not None
    assert (ended.error.code, ended.reason) == (FaultCode.NO_CAPACITY, "no_capacity")
    assert "0.2 seconds" in ended.error.message
    assert names_of(facts) == ["accepted", "finished"]
    assert (await gateway.job(patient)).state is State.QUEUED


async def test_a_job_that_its_worker_has_not_started_in_time_fails_and_is_withdrawn(
    gateway: Gateway, busy: ScriptedWorker
) -> None:
    busy.speeds = (ModelSpeed(model="synthetic", tokens_per_second=1000.0, job_seconds=0.01),)
    await busy.beaten(2)
    job = await gateway.submit(capacity_wait_seconds=0.2)
    order = await busy.next_order()

    ended = await gateway.until(job, State.FAILED)
    stop = await busy.stops.get()
    late = await busy.start(order)

    assert ended.error is not None
    assert (ended.error.code, ended.reason) == (FaultCode.NO_CAPACITY, "no_capacity")
    assert (order.job, stop.job, stop.attempt, stop.reason) == (job, job, order.attempt, "no_capacity")
    assert late.started == (Verdict.STALE,)
    assert names_of(await gateway.timeline(job)) == ["accepted", "assigned", "finished"]
    patient = await gateway.submit(capacity_wait_seconds=600.0)
    assert (await busy.next_order()).job == patient  # the place is free again


async def test_a_job_that_was_started_in_time_may_take_its_time(gateway: Gateway, worker: ScriptedWorker) -> None:
    job = await gateway.submit(capacity_wait_seconds=0.2)
    order = await worker.next_order()
    await worker.start(order)
    other = await gateway.submit(capacity_wait_seconds=0.2)
    await gateway.until(other, State.FAILED)
    await worker.end(order)
    assert (await gateway.job(job)).state is State.SUCCEEDED


async def test_a_job_that_nobody_claimed_in_time_waits_as_long_when_it_is_retried(
    gateway: Gateway, busy: ScriptedWorker
) -> None:
    job = await gateway.submit(capacity_wait_seconds=0.2)
    await gateway.until(job, State.FAILED)
    retried = await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account=ACCOUNT))
    await gateway.until(job, State.FAILED)
    assert retried.queued_at > retried.created_at
    assert names_of(await gateway.timeline(job)) == ["accepted", "finished", "retried", "finished"]


@pytest.mark.parametrize("wait_seconds", [0.0, -1.0, 1e9])
async def test_a_wait_that_makes_no_sense_is_refused(
    gateway: Gateway, worker: ScriptedWorker, wait_seconds: float
) -> None:
    fault = await refusal(gateway, capacity_wait_seconds=wait_seconds)
    assert fault == (FaultCode.INVALID, "capacity_wait_seconds")


async def test_a_model_is_listed_from_the_moment_at_which_its_worker_was_welcomed(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    question = ListModels(account=ACCOUNT, online_only=True)
    listed = []
    for number in range(5):
        await start_worker(offers=(an_offer(model=f"new:{number}"),))
        listed.append(len((await gateway.ask(registry.LIST_MODELS, question)).models))
        await gateway.submit(model=f"new:{number}", needs_provider=True)
    assert listed == [1, 2, 3, 4, 5]


async def test_a_model_is_listed_while_somebody_takes_jobs_for_it(gateway: Gateway, busy: ScriptedWorker) -> None:
    question = ListModels(account=ACCOUNT, online_only=True)
    listed = [len((await gateway.ask(registry.LIST_MODELS, question)).models)]
    for drain in (True, False):
        await gateway.ask(registry.DRAIN_WORKER, DrainWorker(worker=busy.id, drain=drain))
        listed.append(len((await gateway.ask(registry.LIST_MODELS, question)).models))
    assert listed == [2, 0, 2]


async def test_who_needs_a_provider_gets_a_busy_one(gateway: Gateway, busy: ScriptedWorker) -> None:
    await gateway.submit(needs_provider=True)
    await gateway.submit(needs_provider=True, node=busy.id)


async def test_without_a_provider_only_those_who_need_none_are_accepted(
    gateway: Gateway, busy: ScriptedWorker, start_worker: StartWorker
) -> None:
    other = await start_worker(offers=(an_offer(model="elsewhere"),))
    await gateway.ask(registry.DRAIN_WORKER, DrainWorker(worker=other.id))

    assert await refusal(gateway, needs_provider=True, model="elsewhere") == (FaultCode.NO_CAPACITY, "model")
    assert await refusal(gateway, needs_provider=True, node=a_worker_id()) == (FaultCode.NO_CAPACITY, "node")
    assert await refusal(gateway, needs_provider=True, node=other.id) == (FaultCode.NO_CAPACITY, "node")
    assert await refusal(gateway, needs_provider=True, model="nobody's") == (FaultCode.UNKNOWN_MODEL, "model")
    await gateway.submit(model="elsewhere")


async def test_a_provider_that_went_silent_is_none(gateway: Gateway, busy: ScriptedWorker) -> None:
    busy.is_silent = True
    await gateway.until(next(iter(busy.holding)), State.QUEUED)
    assert await refusal(gateway, needs_provider=True) == (FaultCode.NO_CAPACITY, "model")


async def test_listings_show_what_they_are_asked_for(gateway: Gateway, busy: ScriptedWorker) -> None:
    native = await gateway.submit()
    openai = await gateway.submit(dialect="openai", task=EMBED, model="embedder")
    hidden = await gateway.submit(dialect="openai", listed=False)
    line = await gateway.submit(dialect="openai", parent="b" * 32, listed=False)

    async def listed(**fields: Any) -> tuple[list[str], int]:
        question = ListJobs(account=ACCOUNT, states=(State.QUEUED,), **fields)
        page = await gateway.ask(registry.LIST_JOBS, question)
        return [job.job for job in page.jobs], page.total

    assert await listed() == ([line, hidden, openai, native], 4)
    assert await listed(dialects=("native",)) == ([native], 1)
    assert await listed(dialects=("openai",), listed=True) == ([openai], 1)
    assert await listed(dialects=("openai", "native"), listed=True) == ([openai, native], 2)
    assert await listed(dialects=("openai",), listed=False) == ([line, hidden], 2)
    assert await listed(parent="b" * 32) == ([line], 1)
    assert await listed(per_page=0) == ([], 4)
    created_at = (await gateway.job(hidden)).created_at
    assert await listed(since=created_at) == ([line, hidden], 2)
    assert await listed(since=created_at + timedelta(days=1)) == ([], 0)


async def test_a_listing_tells_what_kind_of_task_a_job_has(gateway: Gateway, busy: ScriptedWorker) -> None:
    await gateway.submit(dialect="openai", task=EMBED, model="embedder", listed=False, parent="b" * 32)
    page = await gateway.ask(registry.LIST_JOBS, ListJobs(account=ACCOUNT, dialects=("openai",)))
    [job] = page.jobs
    assert (job.task, job.listed, job.parent) == (Task(kind=Kind.EMBEDDING, raw={}), False, "b" * 32)
