"""A report counts only under the current lease: everything else changes nothing, and is counted."""

from __future__ import annotations

import secrets

import pytest

from gridloom_contract import registry, subjects
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import CancelJob, RetryJob
from gridloom_contract.vocabulary import State, Usage
from gridloom_contract.work import Verdict
from gridloom_testing.builders import a_job_id, a_result, an_order
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, names_of

LONG_AGO = "019bc0fd89d07d1e9f3a52c8b07e4d16"


async def test_a_repeated_report_is_recorded_once(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    order = await worker.next_order()

    starts = [await worker.start(order) for _ in range(2)]
    ends = [await worker.end(order, output="Hello!"), await worker.end(order, output="Another answer")]

    assert [receipt.started for receipt in starts] == [(Verdict.RECORDED,)] * 2
    assert [receipt.results for receipt in ends] == [(Verdict.RECORDED,)] * 2
    assert (await gateway.job(job)).output == "Hello!"
    assert names_of(await gateway.timeline(job)) == ["accepted", "assigned", "started", "finished"]


async def test_a_start_and_its_result_may_come_together(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker(slots=2)
    jobs = [await gateway.submit() for _ in range(2)]
    orders = [await worker.next_order() for _ in jobs]

    receipt = await worker.report(
        started=tuple(worker.start_of(order) for order in orders),
        results=tuple(a_result(order) for order in orders),
    )

    assert (receipt.started, receipt.results) == ((Verdict.RECORDED,) * 2, (Verdict.RECORDED,) * 2)
    for job in jobs:
        assert names_of(await gateway.timeline(job)) == ["accepted", "assigned", "started", "finished"]


@pytest.mark.parametrize("lie", [{"token": secrets.token_hex(16)}, {"attempt": 2}, {"attempt": 0}, {"token": ""}])
async def test_a_report_with_a_wrong_lease_is_stale(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, lie: dict[str, object]
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    order = await worker.next_order()

    start = await worker.start(order, **lie)
    result = await worker.report(results=(a_result(order, **lie),))

    assert (start.started, result.results) == ((Verdict.STALE,), (Verdict.STALE,))
    assert (await gateway.job(job)).state is State.CLAIMED


async def test_another_workers_report_is_stale_even_with_the_right_token(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker, thief = await start_worker(), await start_worker(offers=())
    job = await gateway.submit()
    order = await worker.next_order()

    receipt = await thief.report(results=(a_result(order, output="Mine!"),))

    assert receipt.results == (Verdict.STALE,)
    assert (await gateway.job(job)).state is State.CLAIMED
    assert (await worker.end(order)).results == (Verdict.RECORDED,)


async def test_a_report_about_a_job_that_never_was_is_stale(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    order = an_order(job=LONG_AGO, worker=worker.id)

    assert (await worker.end(order)).results == (Verdict.STALE,)


async def test_a_report_about_a_job_that_may_be_about_to_be_stored_is_to_come_again(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    order = an_order(job=a_job_id(), worker=worker.id)

    assert (await worker.end(order)).results == (Verdict.LATER,)


async def test_a_result_of_an_earlier_attempt_changes_nothing(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    first = await worker.next_order()
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))
    await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account=ACCOUNT))
    second = await worker.next_order()

    late = await worker.end(first, output="late")
    await worker.end(second, output="in time")

    assert late.results == (Verdict.STALE,)
    found = await gateway.job(job)
    assert (found.output, found.attempt) == ("in time", 2)


async def test_numbers_beyond_reason_are_cut_and_harm_nobody(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker(slots=2)
    liar, honest = await gateway.submit(), await gateway.submit()
    orders = {order.job: order for order in [await worker.next_order() for _ in range(2)]}
    mad = a_result(
        orders[liar], usage=Usage(tokens_in=-5, tokens_out=10**25), engine_seconds=1e300, finish_reason="x" * 9999
    )

    receipt = await worker.report(results=(mad, a_result(orders[honest])))

    assert receipt.results == (Verdict.RECORDED, Verdict.RECORDED)
    assert (await gateway.job(honest)).state is State.SUCCEEDED
    usage = (await gateway.job(liar)).usage
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.estimated) == (3, 2, True)


async def test_a_fault_is_cut_to_a_readable_length(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    fault = Fault(code=FaultCode.BAD_OUTPUT, message="x" * 100_000)

    await worker.end(await worker.next_order(), fault=fault, output=None)

    error = (await gateway.job(job)).error
    assert error is not None
    assert len(error.message) == 2_000


async def test_a_hello_that_cannot_be_believed_is_refused(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    worker.slots = 10**9

    with pytest.raises(FaultError) as refused:
        await worker.hello()

    assert refused.value.fault.code is FaultCode.INVALID
    assert subjects.worker_hello(worker.id).endswith("hello")
