"""Jobs with files or a large task: their orders carry URLs, and nobody else waits for those who make them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gridloom_contract import registry
from gridloom_contract.blobs import ObjectsPresigned, PresignedObject, PresignObjects
from gridloom_contract.fault import FaultCode
from gridloom_contract.vocabulary import State
from gridloom_domain.errors import Unavailable
from gridloom_testing.builders import a_submission
from gridloom_testing.plugin import OpenBus
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import Gateway, names_of

pytestmark = pytest.mark.usefixtures("empty_streams")


@dataclass
class ScriptedBlobs:
    """A blob service that has everything but `gone`, while it `answers`."""

    gone: set[str] = field(default_factory=set)
    asked: list[PresignObjects] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_broken: bool = False

    async def on_presign(self, question: PresignObjects, _subject: str) -> ObjectsPresigned:
        """Answer as the blob service does."""
        self.asked.append(question)
        self.was_asked.set()
        await self.may_answer.wait()
        if self.is_broken:
            raise Unavailable("S3 does not answer")
        return ObjectsPresigned(objects=tuple(self._presigned(ref) for ref in question.refs))

    def _presigned(self, ref: str) -> PresignedObject:
        return PresignedObject(ref=ref, url=None if ref in self.gone else f"http://s3/{ref}")


@pytest.fixture
async def blobs(bus_for: OpenBus) -> ScriptedBlobs:
    """A blob service that answers."""
    scripted = ScriptedBlobs()
    scripted.may_answer.set()
    await (await bus_for("blob")).answer(registry.PRESIGN_OBJECTS, scripted.on_presign)
    return scripted


async def test_an_order_for_a_large_task_carries_its_url(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: ScriptedBlobs
) -> None:
    worker = await start_worker()
    job = await gateway.submit(task_ref="t1")

    order = await worker.next_order()

    assert (order.job, order.task_url) == (job, "http://s3/t1")
    assert (await gateway.job(job)).task_ref == "t1"
    await worker.do(order)
    assert (await gateway.job(job)).state is State.SUCCEEDED


async def test_one_question_serves_all_jobs_of_a_round_and_others_ask_nothing(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: ScriptedBlobs
) -> None:
    worker = await start_worker(slots=6)
    submissions = [a_submission(task_ref=f"t{number}") for number in range(3)]
    submissions += [a_submission() for _ in range(3)]
    await gateway.try_submit(*submissions)

    orders = [await worker.next_order() for _ in submissions]

    assert {order.task_url for order in orders} == {None, "http://s3/t0", "http://s3/t1", "http://s3/t2"}
    assert [sorted(question.refs) for question in blobs.asked] == [["t0", "t1", "t2"]]


async def test_others_go_past_jobs_whose_urls_take_their_time(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: ScriptedBlobs
) -> None:
    blobs.may_answer.clear()
    worker = await start_worker(slots=2)
    large = await gateway.submit(task_ref="t1", priority=9)
    await blobs.was_asked.wait()

    small = await gateway.submit()
    order = await worker.next_order()
    blobs.may_answer.set()

    assert order.job == small
    assert (await worker.next_order()).job == large


async def test_while_nobody_presigns_jobs_wait_unharmed_and_others_go_on(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: ScriptedBlobs
) -> None:
    worker = await start_worker()
    blobs.is_broken = True
    many = [a_submission(task_ref=f"t{number}", priority=9) for number in range(40)]
    await gateway.try_submit(*many)
    small = await gateway.submit()

    first = await worker.next_order()
    waiting = await gateway.job(many[0].job)
    blobs.is_broken = False
    await worker.do(first)
    second = await worker.next_order()

    assert first.job == small
    assert (waiting.state, waiting.attempt) == (State.QUEUED, 0)
    assert second.task_url is not None
    assert names_of(await gateway.timeline(second.job)) == ["accepted", "assigned"]


async def test_one_job_finds_out_whether_urls_can_be_had_again_and_keeps_no_slots_from_others(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: ScriptedBlobs
) -> None:
    worker = await start_worker(slots=3)
    blobs.is_broken = True
    many = [a_submission(task_ref=f"t{number}", priority=9) for number in range(6)]
    await gateway.try_submit(*many)
    await blobs.was_asked.wait()
    blobs.may_answer.clear()
    blobs.was_asked.clear()
    await blobs.was_asked.wait()

    small = [await gateway.submit() for _ in range(2)]
    orders = [await worker.next_order() for _ in small]
    blobs.is_broken = False
    blobs.may_answer.set()
    for order in orders:
        await worker.do(order)

    assert {order.job for order in orders} == set(small)
    assert len(blobs.asked[-1].refs) == 1
    assert {(await worker.next_order()).task_url is None for _ in range(3)} == {False}


async def test_a_job_whose_input_is_gone_fails_and_says_so(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: ScriptedBlobs
) -> None:
    blobs.gone.add("t1")
    worker = await start_worker()
    job = await gateway.submit(task_ref="t1")

    failed = await gateway.until(job, State.FAILED)
    await gateway.submit()

    assert failed.error is not None
    assert (failed.error.code, failed.reason) == (FaultCode.NOT_FOUND, "input_lost")
    assert (await worker.next_order()).job != job
