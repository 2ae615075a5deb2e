"""Batches as the gateway has to do with them: the scheduler keeps the record and knows how their jobs are."""

from __future__ import annotations

from typing import Final

from gridloom_contract.batches import (
    Batch,
    BatchDone,
    BatchLeased,
    BatchPage,
    CancelBatch,
    CreateBatch,
    GetBatch,
    LeaseBatch,
    ListBatches,
    NoteBatch,
)
from gridloom_contract.registry import (
    BATCH_DONE,
    CANCEL_BATCH,
    CREATE_BATCH,
    GET_BATCH,
    LEASE_BATCH,
    LIST_BATCHES,
    NOTE_BATCH,
)
from gridloom_gateway.desk import Questions

MOST_CANCELED_AT_ONCE: Final = 500


class Batches:
    """One method a question. Batches of another account do not exist."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    async def create(self, order: CreateBatch) -> Batch:
        """Record a batch and return it; done twice there is one."""
        return await self._questions.ask(CREATE_BATCH, order, Batch)

    async def get(self, account: str, batch: str) -> Batch:
        """Return the batch. Raises `NotFound`."""
        return await self._questions.ask(GET_BATCH, GetBatch(batch=batch, account=account), Batch)

    async def list(self, wanted: ListBatches) -> BatchPage:
        """Return a page of an account's batches. Raises `NotFound` for the batch they come after."""
        return await self._questions.ask(LIST_BATCHES, wanted, BatchPage)

    async def cancel(self, account: str, batch: str) -> Batch:
        """Cancel the batch, and so many of its jobs at a time; return it. Raises `NotFound`."""
        return await self._questions.ask(CANCEL_BATCH, CancelBatch(batch=batch, account=account), Batch)

    async def lease(self, seconds: float) -> BatchLeased:
        """Return a batch to work on for some time, if there is one."""
        return await self._questions.ask(LEASE_BATCH, LeaseBatch(seconds=seconds), BatchLeased)

    async def note(self, note: NoteBatch) -> Batch:
        """Say how far the work on a batch is. Raises `Conflict` if somebody else has it by now."""
        return await self._questions.ask(NOTE_BATCH, note, Batch)

    async def done(self, done: BatchDone) -> Batch:
        """Say that a batch has ended. Raises `Conflict` if somebody else has it by now."""
        return await self._questions.ask(BATCH_DONE, done, Batch)
