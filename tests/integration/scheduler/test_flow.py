"""One job from submission to its end, and what its owner sees of it on the way."""

from __future__ import annotations

from gridloom_contract.vocabulary import State
from gridloom_contract.work import Verdict
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import Gateway, names_of


async def test_a_job_goes_to_a_worker_and_comes_back_with_its_answer(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()

    job = await gateway.submit()
    order = await worker.next_order()
    started = await worker.start(order)
    ended = await worker.end(order, output="Hello!")

    assert (started.started, ended.results) == ((Verdict.RECORDED,), (Verdict.RECORDED,))
    found = await gateway.job(job)
    assert (found.state, found.output, found.worker, found.attempt) == (State.SUCCEEDED, "Hello!", worker.id, 1)
    assert names_of(await gateway.timeline(job)) == ["accepted", "assigned", "started", "finished"]
