"""Who gets which job: the order of waiting jobs, and the rules that choose a worker."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_contract import registry
from gridloom_contract.events import JobAssigned
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.fleet import DrainWorker, ListModels
from gridloom_contract.jobs import CancelAllJobs, CancelJob, Task
from gridloom_contract.vocabulary import Match, State
from gridloom_contract.work import ModelSpeed
from gridloom_testing.builders import a_submission, a_task, an_offer
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, ScriptedWorker, names_of

STRANGER = "acc2"
MAY_PASS = Fault(code=FaultCode.UPSTREAM, message="out of memory", retryable=True)


async def occupied(gateway: Gateway, worker: ScriptedWorker) -> str:
    """Fill the worker's only slot and return the job that does."""
    await gateway.submit(node=worker.id)
    order = await worker.next_order()
    await worker.start(order)
    return order.job


async def free(gateway: Gateway, worker: ScriptedWorker) -> None:
    """End what the worker has in hand."""
    for job in list(worker.holding):
        await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))


async def test_the_highest_priority_goes_first(scheduler: Replica, gateway: Gateway, start_worker: StartWorker) -> None:
    worker = await start_worker()
    await occupied(gateway, worker)
    low, normal, high = [await gateway.submit(priority=priority) for priority in (-1, 0, 7)]

    await free(gateway, worker)
    taken = []
    for _ in range(3):
        order = await worker.next_order()
        taken.append(order.job)
        await worker.end(order)

    assert taken == [high, normal, low]


async def test_a_newcomer_is_not_held_up_by_a_hoarder(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    await occupied(gateway, worker)
    hoard = [a_submission() for _ in range(1000)]
    for at in range(0, 1000, 250):
        await gateway.try_submit(*hoard[at : at + 250])
    single = await gateway.submit(account=STRANGER)

    await free(gateway, worker)
    taken = []
    for _ in range(4):
        order = await worker.next_order()
        taken.append(order.job)
        await worker.end(order)

    assert single in taken[:2]
    assert (await gateway.job(single, STRANGER)).state is State.SUCCEEDED
    await gateway.ask(registry.CANCEL_ALL_JOBS, CancelAllJobs(account=ACCOUNT))


async def test_a_family_is_served_by_any_of_its_models_the_loaded_one_first(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    cold = an_offer(model="llama:70b", loaded=False)
    worker = await start_worker(offers=(cold, an_offer(model="llama:8b")))

    job = await gateway.submit(model="llama", match=Match.FAMILY)

    order = await worker.next_order()
    assert (order.job, order.model) == (job, "llama:8b")
    found = await gateway.job(job)
    assert (found.model, found.served_model) == ("llama", "llama:8b")


async def test_an_exact_job_waits_for_its_very_model(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    big = await start_worker(offers=(an_offer(model="llama:70b"),))
    small = await start_worker(offers=(an_offer(model="llama:8b"),), slots=4)

    job = await gateway.submit(model="llama:70b")

    assert (await big.next_order()).job == job
    assert small.orders.empty()


async def test_a_pinned_job_waits_for_its_worker(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    pinned, other = await start_worker(), await start_worker(slots=4)
    await occupied(gateway, pinned)

    job = await gateway.submit(node=pinned.id)
    elsewhere = await gateway.submit()

    assert (await other.next_order()).job == elsewhere
    assert (await gateway.job(job)).state is State.QUEUED
    await free(gateway, pinned)
    assert (await pinned.next_order()).job == job


async def test_a_private_worker_serves_only_its_own(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    public = await start_worker()
    private = await start_worker({"account": ACCOUNT}, slots=8)

    strangers = await gateway.submit(account=STRANGER)
    mine = await gateway.submit()

    assert (await public.next_order()).job == strangers
    assert (await private.next_order()).job == mine


async def test_a_private_workers_model_exists_only_for_those_it_serves(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    await start_worker({"account": ACCOUNT, "serves": (ACCOUNT, "acc3")}, offers=(an_offer(model="secret:1b"),))

    [refused] = await gateway.try_submit(a_submission(model="secret:1b", account=STRANGER))
    [accepted] = await gateway.try_submit(a_submission(model="secret:1b", account="acc3"))
    listed = await gateway.ask(registry.LIST_MODELS, ListModels(account=STRANGER))

    assert refused.fault is not None
    assert refused.fault.code is FaultCode.UNKNOWN_MODEL
    assert "secret" not in refused.fault.message.replace("secret:1b'", "")
    assert accepted.fault is None
    assert "secret:1b" not in [model.model for model in listed.models]


async def test_a_private_workers_jobs_are_found_behind_many_of_others(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    public = await start_worker()
    private = await start_worker({"account": ACCOUNT})
    await occupied(gateway, private)
    await gateway.submit(account=STRANGER)
    await public.next_order()
    await gateway.try_submit(*[a_submission(account=STRANGER) for _ in range(50)])
    mine = await gateway.submit()

    await free(gateway, private)

    assert (await private.next_order()).job == mine


async def test_a_worker_that_failed_a_job_is_avoided_while_another_serves_it(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    first = await start_worker()
    job = await gateway.submit()
    order = await first.next_order()
    second = await start_worker()
    await first.end(order, fault=MAY_PASS, output=None)

    again = await second.next_order()

    assert (again.job, again.attempt) == (job, 2)
    assert first.orders.empty()
    await second.do(again)
    story = names_of(await gateway.timeline(job))
    assert story == ["accepted", "assigned", "requeued", "held", "released", "assigned", "started", "finished"]


async def test_the_only_worker_gets_a_job_again_that_it_failed(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    await worker.end(await worker.next_order(), fault=MAY_PASS, output=None)

    again = await worker.next_order()

    assert (again.job, again.attempt) == (job, 2)
    facts = [fact for fact in await gateway.timeline(job) if isinstance(fact, JobAssigned)]
    assert "nobody else serves it" in facts[-1].why


async def test_attempts_come_to_an_end(scheduler: Replica, gateway: Gateway, start_worker: StartWorker) -> None:
    worker = await start_worker()
    job = await gateway.submit(max_attempts=2)
    for _ in range(2):
        await worker.end(await worker.next_order(), fault=MAY_PASS, output=None)

    failed = await gateway.job(job)

    assert (failed.state, failed.reason, failed.attempt) == (State.FAILED, "upstream_error", 2)
    assert failed.error == MAY_PASS


async def test_the_owners_own_mistake_is_not_tried_again(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    fault = Fault(code=FaultCode.INVALID, message="no such parameter", retryable=True)

    await worker.end(await worker.next_order(), fault=fault, output=None)

    assert (await gateway.job(job)).state is State.FAILED


async def test_a_refused_order_goes_back_and_counts_for_nothing(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit(max_attempts=1)
    await worker.end(await worker.next_order(), refused=True, output=None)

    again = await worker.next_order()

    assert (again.job, again.attempt) == (job, 2)
    await worker.do(again)
    assert (await gateway.job(job)).state is State.SUCCEEDED


async def test_a_worker_with_the_model_loaded_is_preferred(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    cold = await start_worker(offers=(an_offer(loaded=False),), slots=8)
    warm = await start_worker()

    job = await gateway.submit()

    assert (await warm.next_order()).job == job
    assert cold.orders.empty()


async def test_a_draining_worker_gets_nothing_until_it_is_told_to_resume(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    entry = await gateway.ask(registry.DRAIN_WORKER, DrainWorker(worker=worker.id))
    job = await gateway.submit()

    assert entry.state == "draining"
    assert await asyncio.wait_for(worker.controls.get(), 5) == "drain"
    assert (await gateway.job(job)).state is State.QUEUED
    await gateway.ask(registry.DRAIN_WORKER, DrainWorker(worker=worker.id, drain=False))
    assert (await worker.next_order()).job == job


@pytest.mark.parametrize(("job_seconds", "given"), [(0.2, 2), (30.0, 1)])
async def test_one_job_is_prefetched_where_jobs_are_short(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, job_seconds: float, given: int
) -> None:
    worker = await start_worker()
    worker.speeds = (ModelSpeed(model="synthetic", tokens_per_second=50.0, job_seconds=job_seconds),)
    await worker.beaten(3)
    jobs = [await gateway.submit() for _ in range(3)]

    for _ in range(given):
        await worker.next_order()

    states = [(await gateway.job(job)).state for job in jobs]
    assert states == [State.CLAIMED] * given + [State.QUEUED] * (3 - given)


async def test_models_take_turns_on_a_worker_that_serves_both(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker(offers=(an_offer(model="a:1"), an_offer(model="b:1")))
    await gateway.submit(model="a:1")
    first = await worker.next_order()
    await gateway.try_submit(*[a_submission(model="a:1") for _ in range(20)])
    other = await gateway.submit(model="b:1")

    await worker.end(first)
    taken = []
    for _ in range(3):
        order = await worker.next_order()
        taken.append(order.job)
        await worker.end(order)

    assert other in taken


async def test_an_order_carries_what_the_engine_needs(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    task = a_task(prompt="Say hello", params={"temperature": 0.5, "stop": ["\n"]})

    await gateway.submit(task=task, timeout_seconds=30.0)
    order = await worker.next_order()

    assert (order.task, order.timeout_seconds, order.worker) == (task, 30.0, worker.id)
    assert isinstance(order.task, Task)
    assert order.until is not None
