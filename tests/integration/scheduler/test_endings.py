"""Accounting asks how jobs ended: page by page, by job or by time, whatever happened to them since."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from gridloom_contract import registry
from gridloom_contract.events import JobFinished
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.jobs import RetryJob
from gridloom_contract.usage import Ending, EndingPage, ListEndings
from gridloom_contract.vocabulary import State, Usage
from gridloom_kit.bus import Bus
from gridloom_testing.builders import a_submission
from gridloom_testing.plugin import OpenBus
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import Gateway, ScriptedWorker, toiling

pytestmark = pytest.mark.usefixtures("empty_streams")

REFUSED = Fault(code=FaultCode.INVALID, message="the prompt is too long for this model")


@pytest.fixture
async def usage(bus_for: OpenBus) -> Bus:
    """The connection of the usage service."""
    return await bus_for(registry.USAGE)


@pytest.fixture
async def worker(scheduler: Replica, start_worker: StartWorker) -> ScriptedWorker:
    """A worker."""
    return await start_worker(slots=4)


async def page(usage: Bus, **asked: object) -> EndingPage:
    """Ask once."""
    answer: EndingPage = await usage.request(registry.LIST_ENDINGS, ListEndings(**asked))  # type: ignore[arg-type]
    return answer


async def all_by_job(usage: Bus, limit: int) -> list[Ending]:
    """Ask until there is no more."""
    found: list[Ending] = []
    while endings := (await page(usage, after=found[-1].job if found else None, limit=limit)).endings:
        found += endings
    return found


async def all_by_time(usage: Bus, limit: int) -> list[Ending]:
    """Ask until there is no more."""
    first = (await page(usage)).endings[0]
    found = list((await page(usage, since=first.ended_at.replace(year=1970), limit=limit)).endings)
    while endings := (await page(usage, since=found[-1].ended_at, after=found[-1].job, limit=limit)).endings:
        found += endings
    return found


async def end(gateway: Gateway, worker: ScriptedWorker, **result: object) -> str:
    """Have one job done and return it."""
    job = await gateway.submit()
    await worker.end(await worker.next_order(), **result)
    return job


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_every_ended_job_is_told_once_in_order_of_its_id(
    gateway: Gateway, worker: ScriptedWorker, usage: Bus, limit: int
) -> None:
    jobs = [a_submission() for _ in range(7)]
    async with toiling(worker):
        await gateway.try_submit(*jobs)
        await asyncio.gather(*(gateway.until(job.job, State.SUCCEEDED) for job in jobs))

    endings = await all_by_job(usage, limit)

    assert [ending.job for ending in endings] == sorted(job.job for job in jobs)


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_every_ended_job_is_told_once_in_order_of_time(
    gateway: Gateway, worker: ScriptedWorker, usage: Bus, limit: int
) -> None:
    jobs = [a_submission() for _ in range(7)]
    await gateway.try_submit(*jobs)
    for _ in jobs:
        await worker.end(await worker.next_order())

    endings = await all_by_time(usage, limit)

    assert sorted(ending.job for ending in endings) == sorted(job.job for job in jobs)
    assert [(ending.ended_at, ending.job) for ending in endings] == sorted(
        (ending.ended_at, ending.job) for ending in endings
    )


async def test_an_ending_is_what_the_job_itself_says(gateway: Gateway, worker: ScriptedWorker, usage: Bus) -> None:
    job = await end(gateway, worker)

    answer = await page(usage)

    [ending] = answer.endings
    stored = await gateway.job(job)
    assert (ending.job, ending.account, ending.state) == (job, "acc1", State.SUCCEEDED)
    assert (ending.ended_at, ending.usage) == (stored.ended_at, stored.usage)
    assert ending.facts == tuple(fact for fact in await gateway.timeline(job) if isinstance(fact, JobFinished))
    assert ending.facts[0].started_at == stored.started_at
    assert answer.at is not None
    assert answer.at >= ending.ended_at


async def test_a_job_that_runs_again_is_told_by_id_with_all_its_endings_and_not_by_time(
    gateway: Gateway, worker: ScriptedWorker, usage: Bus
) -> None:
    job = await end(gateway, worker, fault=REFUSED, output=None)
    before = (await page(usage)).endings[0]
    await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account="acc1"))
    order = await worker.next_order()

    assert (await page(usage)).endings == (before,)
    assert (await page(usage, since=before.ended_at)).endings == ()

    await worker.end(order)
    [after] = (await page(usage, since=before.ended_at)).endings
    assert [fact.state for fact in after.facts] == [State.FAILED, State.SUCCEEDED]
    assert [fact.fault for fact in after.facts] == [None, None]


async def test_a_count_that_cannot_be_true_is_replaced_by_an_estimate_and_counted(
    gateway: Gateway, worker: ScriptedWorker, usage: Bus
) -> None:
    before = replaced()

    job = await end(gateway, worker, output="Hello!", usage=Usage(tokens_in=10**9, tokens_out=0))

    [ending] = (await page(usage)).endings
    assert ending.usage == (await gateway.job(job)).usage == Usage(tokens_in=3, tokens_out=2, estimated=True)
    assert replaced() == {kind: count + 1 for kind, count in before.items()}


def replaced() -> dict[str, float]:
    """How many counts of each kind were replaced so far."""
    name = "gridloom_token_counts_replaced_total"
    return {kind: REGISTRY.get_sample_value(name, {"type": kind}) or 0.0 for kind in ("input", "output")}


async def test_a_job_that_never_ended_is_not_told(gateway: Gateway, worker: ScriptedWorker, usage: Bus) -> None:
    await gateway.submit()

    assert (await page(usage)).endings == ()


async def test_a_page_of_nothing_is_refused(worker: ScriptedWorker, usage: Bus) -> None:
    with pytest.raises(FaultError) as caught:
        await page(usage, limit=0)

    assert (caught.value.fault.code, caught.value.fault.field) == (FaultCode.INVALID, "limit")
