"""Large outputs: who gets a place for one, and which refs count. A worker says what it likes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gridloom_contract import registry, subjects
from gridloom_contract.blobs import (
    ObjectReserved,
    ObjectsPresigned,
    PresignedObject,
    PresignObjects,
    Purpose,
    ReserveObject,
)
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import MAX_INLINE_BYTES, CancelJob, RetryJob
from gridloom_contract.vocabulary import State
from gridloom_contract.work import AskUpload, ResultReport, UploadSlot, Verdict, WorkOrder
from gridloom_domain.errors import TooLarge, Unavailable
from gridloom_testing.builders import a_job_id, a_result
from gridloom_testing.plugin import OpenBus
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway, ScriptedWorker

LARGE = 3_000_000
LATER, RECORDED, STALE = Verdict.LATER, Verdict.RECORDED, Verdict.STALE

pytestmark = pytest.mark.usefixtures("empty_streams")


@dataclass
class BlobService:
    """Gives places, and knows what was put there. A test fills one with `fill`."""

    reserved: dict[str, ReserveObject] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)
    is_down: bool = False
    looks: int = 0

    async def on_reserve(self, order: ReserveObject, _subject: str) -> ObjectReserved:
        """Give a place."""
        self._refuse()
        if order.size_bytes > 64_000_000:
            raise TooLarge("that is too much", "size_bytes")
        ref = f"obj_{len(self.reserved)}"
        self.reserved[ref] = order
        return ObjectReserved(ref=ref, upload_url=f"http://s3/{ref}")

    async def on_presign(self, question: PresignObjects, _subject: str) -> ObjectsPresigned:
        """Say what is there."""
        self._refuse()
        self.looks += 1
        assert question.verify
        return ObjectsPresigned(objects=tuple(map(self._presigned, question.refs)))

    def fill(self, ref: str) -> None:
        """Let somebody have uploaded."""
        self.filled.add(ref)

    def _presigned(self, ref: str) -> PresignedObject:
        order = self.reserved.get(ref)
        if order is None or ref not in self.filled:
            return PresignedObject(ref=ref)
        return PresignedObject(
            ref=ref,
            url=f"http://s3/{ref}",
            content_type="text/plain",
            size_bytes=order.size_bytes,
            job=order.job,
            purpose=order.purpose,
        )

    def _refuse(self) -> None:
        if self.is_down:
            raise Unavailable("S3 does not answer")


@pytest.fixture
async def blobs(bus_for: OpenBus) -> BlobService:
    service, bus = BlobService(), await bus_for("blob")
    await bus.answer(registry.RESERVE_OBJECT, service.on_reserve)
    await bus.answer(registry.PRESIGN_OBJECTS, service.on_presign)
    await bus.flush()
    return service


async def ask(worker: ScriptedWorker, order: WorkOrder, **lies: Any) -> UploadSlot:
    """Ask for a place for the output of an order, as `worker`."""
    usual: dict[str, Any] = {"job": order.job, "attempt": order.attempt, "token": order.token, "size_bytes": LARGE}
    question = AskUpload(**(usual | lies))
    slot: UploadSlot = await worker.bus.request(
        registry.UPLOAD, question, subject=subjects.worker_upload(worker.id), timeout_seconds=5
    )
    return slot


def by_ref(order: WorkOrder, ref: str) -> ResultReport:
    """A good end whose output is there."""
    return a_result(order, output=None, output_ref=ref)


async def refusal_of(asking: Awaitable[object]) -> FaultCode:
    with pytest.raises(FaultError) as refused:
        await asking
    return refused.value.fault.code


async def test_a_worker_uploads_the_output_of_a_job_it_has_and_the_job_has_it(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    order = await worker.next_order()

    slot = await ask(worker, order)
    blobs.fill(slot.ref)
    receipt = await worker.end(order, output=None, output_ref=slot.ref)

    assert receipt.results == (RECORDED,)
    assert blobs.reserved[slot.ref] == ReserveObject(account=ACCOUNT, job=job, purpose=Purpose.OUTPUT, size_bytes=LARGE)
    found = await gateway.job(job)
    assert (found.state, found.output, found.output_ref) == (State.SUCCEEDED, None, slot.ref)


@pytest.mark.parametrize("lie", [{"token": "no"}, {"attempt": 2}, {"attempt": 0}, {"job": a_job_id()}])
async def test_nobody_gets_a_place_without_the_lease(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService, lie: dict[str, Any]
) -> None:
    worker = await start_worker()
    await gateway.submit()
    order = await worker.next_order()

    assert await refusal_of(ask(worker, order, **lie)) is FaultCode.CONFLICT
    assert blobs.reserved == {}


async def test_another_worker_gets_no_place_even_with_the_right_token(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker, thief = await start_worker(), await start_worker(offers=())
    await gateway.submit()
    order = await worker.next_order()

    assert await refusal_of(ask(thief, order)) is FaultCode.CONFLICT
    assert blobs.reserved == {}


async def test_the_place_of_an_attempt_that_is_over_is_of_no_use(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    job = await gateway.submit()
    first = await worker.next_order()
    slot = await ask(worker, first)
    blobs.fill(slot.ref)
    await gateway.ask(registry.CANCEL_JOB, CancelJob(job=job, account=ACCOUNT))
    await gateway.ask(registry.RETRY_JOB, RetryJob(job=job, account=ACCOUNT))
    await worker.next_order()

    assert await refusal_of(ask(worker, first)) is FaultCode.CONFLICT
    assert (await worker.end(first, output=None, output_ref=slot.ref)).results == (STALE,)
    assert (await gateway.job(job)).state is State.CLAIMED


Liar = Callable[[BlobService, str], str]


def of_another_job(blobs: BlobService, _job: str) -> str:
    blobs.reserved["foreign"] = ReserveObject(account="acc2", job=a_job_id(), purpose=Purpose.OUTPUT, size_bytes=LARGE)
    blobs.fill("foreign")
    return "foreign"


def the_jobs_own_task(blobs: BlobService, job: str) -> str:
    blobs.reserved["task"] = ReserveObject(account=ACCOUNT, job=job, purpose=Purpose.TASK, size_bytes=LARGE)
    blobs.fill("task")
    return "task"


def never_uploaded(blobs: BlobService, job: str) -> str:
    blobs.reserved["empty"] = ReserveObject(account=ACCOUNT, job=job, purpose=Purpose.OUTPUT, size_bytes=LARGE)
    return "empty"


@pytest.mark.parametrize(
    "lie", [of_another_job, the_jobs_own_task, never_uploaded, lambda *_: "", lambda *_: "x", lambda *_: "x" * 10_000]
)
async def test_a_ref_that_is_not_the_output_of_this_very_job_ends_nothing_well(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService, lie: Liar
) -> None:
    liar = await start_worker()
    job = await gateway.submit(max_attempts=1)
    order = await liar.next_order()

    receipt = await liar.end(order, output=None, output_ref=lie(blobs, job))

    found = await gateway.job(job)
    assert receipt.results == (RECORDED,)
    assert (found.state, found.output, found.output_ref) == (State.FAILED, None, None)
    assert found.error is not None
    assert found.error.code is FaultCode.BAD_OUTPUT


async def test_one_ref_serves_one_job_of_a_report_only(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker(slots=2)
    jobs = [await gateway.submit(max_attempts=1) for _ in range(2)]
    orders = {order.job: order for order in [await worker.next_order() for _ in jobs]}
    slot = await ask(worker, orders[jobs[0]])
    blobs.fill(slot.ref)

    await worker.report(results=tuple(by_ref(orders[job], slot.ref) for job in jobs))

    assert [(await gateway.job(job)).state for job in jobs] == [State.SUCCEEDED, State.FAILED]


async def test_a_result_waits_while_the_blob_service_cannot_tell_and_small_ones_do_not(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker(slots=2)
    large, small = await gateway.submit(), await gateway.submit()
    orders = {order.job: order for order in [await worker.next_order() for _ in range(2)]}
    slot = await ask(worker, orders[large])
    blobs.fill(slot.ref)
    blobs.is_down = True

    receipt = await worker.report(results=(by_ref(orders[large], slot.ref), a_result(orders[small])))
    meanwhile = [(await gateway.job(job)).state for job in (large, small)]
    blobs.is_down = False
    again = await worker.report(results=(by_ref(orders[large], slot.ref),))

    assert (receipt.results, meanwhile) == ((LATER, RECORDED), [State.CLAIMED, State.SUCCEEDED])
    assert again.results == (RECORDED,)
    assert (await gateway.job(large)).output_ref == slot.ref


async def test_without_a_blob_service_a_place_cannot_be_had_for_now(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    await gateway.submit()
    order = await worker.next_order()

    assert await refusal_of(ask(worker, order)) is FaultCode.UNAVAILABLE
    assert (await worker.report(results=(by_ref(order, "x"),))).results == (LATER,)


async def test_a_worker_cannot_fill_the_store_with_places_for_one_job(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    await gateway.submit()
    order = await worker.next_order()
    for _ in range(16):
        await ask(worker, order)

    assert await refusal_of(ask(worker, order)) is FaultCode.RATE_LIMITED
    assert await refusal_of(ask(worker, order, size_bytes=10**12)) is FaultCode.RATE_LIMITED
    assert len(blobs.reserved) == 16


async def test_an_output_that_no_grid_keeps_is_refused(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    await gateway.submit()
    order = await worker.next_order()

    assert await refusal_of(ask(worker, order, size_bytes=10**12)) is FaultCode.TOO_LARGE


async def test_an_output_that_is_too_large_for_a_message_is_not_taken_in_one(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker
) -> None:
    worker = await start_worker(slots=2)
    longest, too_long = [await gateway.submit(max_attempts=1) for _ in range(2)]
    orders = {order.job: order for order in [await worker.next_order() for _ in range(2)]}

    await worker.end(orders[longest], output="x" * (MAX_INLINE_BYTES - 2))
    await worker.end(orders[too_long], output="x" * (MAX_INLINE_BYTES - 1))

    assert [(await gateway.job(job)).state for job in (longest, too_long)] == [State.SUCCEEDED, State.FAILED]


async def test_a_report_without_refs_costs_the_blob_service_nothing(
    scheduler: Replica, gateway: Gateway, start_worker: StartWorker, blobs: BlobService
) -> None:
    worker = await start_worker()
    await gateway.submit()
    await worker.do(await worker.next_order())

    assert blobs.looks == 0
