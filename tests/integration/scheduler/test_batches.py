"""The record of batches: whole or withdrawn, noted by who has the lease, and canceled whoever has it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gridloom_contract import registry
from gridloom_contract.batches import CancelBatch, CreateBatch, GetBatch, LeaseBatch, NoteBatch, WithdrawBatch
from gridloom_contract.fault import FaultError
from gridloom_contract.vocabulary import State
from gridloom_testing.builders import a_job_id
from integration.scheduler.conftest import Replica, StartWorker
from integration.scheduler.scripted import ACCOUNT, Gateway

STRANGER = "acc2"


async def test_a_batch_without_a_file_waits_for_its_jobs_and_is_withdrawn_with_them(
    gateway: Gateway, scheduler: Replica, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    await gateway.submit()
    await worker.start(await worker.next_order())
    batch = a_job_id()
    order = CreateBatch(batch=batch, account=ACCOUNT, key="kid", dialect="openai", total=2)
    assert (await gateway.ask(registry.CREATE_BATCH, order)).submitted_at is None
    jobs = [await gateway.submit(parent=batch) for _ in range(2)]
    question = GetBatch(batch=batch, account=ACCOUNT)
    whole = await gateway.ask(registry.GET_BATCH, question)
    assert (whole.counts, whole.submitted_at) == ({State.QUEUED: 2}, whole.created_at)
    with pytest.raises(FaultError, match="no such batch"):
        await gateway.ask(registry.WITHDRAW_BATCH, WithdrawBatch(batch=batch, account=STRANGER))
    withdrawn = await gateway.ask(registry.WITHDRAW_BATCH, WithdrawBatch(batch=batch, account=ACCOUNT))
    assert withdrawn.counts == {State.CANCELED: 2}
    assert [(await gateway.job(job)).state for job in jobs] == [State.CANCELED] * 2
    with pytest.raises(FaultError, match="no such batch"):
        await gateway.ask(registry.GET_BATCH, question)


async def test_a_job_that_comes_to_a_batch_after_it_was_canceled_is_canceled(
    gateway: Gateway, scheduler: Replica, start_worker: StartWorker
) -> None:
    worker = await start_worker(slots=2)
    batch, other = a_job_id(), a_job_id()
    for each in (batch, other):
        order = CreateBatch(batch=each, account=ACCOUNT, key="kid", dialect="openai", total=2)
        await gateway.ask(registry.CREATE_BATCH, order)
    early = await gateway.submit(parent=batch)
    await gateway.ask(registry.CANCEL_BATCH, CancelBatch(batch=batch, account=ACCOUNT))
    late, lines = await gateway.submit(parent=batch), await gateway.submit(parent=other)
    assert [(await gateway.job(job)).state for job in (early, late)] == [State.CANCELED] * 2
    while (order := await worker.next_order()).job != lines:
        pass
    assert (await gateway.job(lines)).state is State.CLAIMED


async def test_a_batch_with_a_file_cannot_be_withdrawn(gateway: Gateway, scheduler: Replica) -> None:
    batch = a_job_id()
    order = CreateBatch(batch=batch, account=ACCOUNT, key="kid", dialect="openai", input_file=a_job_id())
    await gateway.ask(registry.CREATE_BATCH, order)
    with pytest.raises(FaultError, match="canceled, not withdrawn"):
        await gateway.ask(registry.WITHDRAW_BATCH, WithdrawBatch(batch=batch, account=ACCOUNT))


async def test_what_is_noted_of_a_batch_is_taken_as_it_is_and_only_once(gateway: Gateway, scheduler: Replica) -> None:
    batch = a_job_id()
    order = CreateBatch(batch=batch, account=ACCOUNT, key="kid", dialect="openai", input_file=a_job_id())
    await gateway.ask(registry.CREATE_BATCH, order)
    leased = await gateway.ask(registry.LEASE_BATCH, LeaseBatch(seconds=30.0))
    assert leased.batch.batch == batch
    note = NoteBatch(batch=batch, lease=leased.lease, seconds=30.0, total=3, model="$account")
    noted = await gateway.ask(registry.NOTE_BATCH, note)
    assert (noted.total, noted.model) == (3, "$account")
    again = await gateway.ask(registry.NOTE_BATCH, replace(note, total=4, model="other", is_finalizing=True))
    assert (again.total, again.model, again.checked_at) == (3, "$account", noted.checked_at)
    assert again.finalizing_at >= noted.checked_at


async def test_a_batch_that_is_canceled_is_looked_at_now_whoever_has_its_lease(
    gateway: Gateway, scheduler: Replica
) -> None:
    batch = a_job_id()
    order = CreateBatch(batch=batch, account=ACCOUNT, key="kid", dialect="openai", input_file=a_job_id())
    await gateway.ask(registry.CREATE_BATCH, order)
    first = await gateway.ask(registry.LEASE_BATCH, LeaseBatch(seconds=900.0))
    assert (await gateway.ask(registry.LEASE_BATCH, LeaseBatch(seconds=900.0))).batch is None
    await gateway.ask(registry.CANCEL_BATCH, CancelBatch(batch=batch, account=ACCOUNT))
    second = await gateway.ask(registry.LEASE_BATCH, LeaseBatch(seconds=900.0))
    assert second.batch.cancel_requested_at is not None
    with pytest.raises(FaultError, match="somebody else works"):
        await gateway.ask(registry.NOTE_BATCH, NoteBatch(batch=batch, lease=first.lease, seconds=30.0))
    await gateway.ask(registry.CANCEL_BATCH, CancelBatch(batch=batch, account=ACCOUNT))
    assert (await gateway.ask(registry.LEASE_BATCH, LeaseBatch(seconds=900.0))).batch is None
