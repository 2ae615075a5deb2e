"""Batches as the gateway has to do with them: the scheduler keeps the record and knows how their jobs are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress

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
    WithdrawBatch,
)
from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Submission
from gridloom_contract.registry import (
    BATCH_DONE,
    CANCEL_BATCH,
    CREATE_BATCH,
    GET_BATCH,
    LEASE_BATCH,
    LIST_BATCHES,
    NOTE_BATCH,
    WITHDRAW_BATCH,
)
from gridloom_gateway.desk import Desk, Questions, is_unknown
from gridloom_kit import crash


class Batches:
    """One method a question. Batches of another account do not exist.

    `news` is set when there is work that this gateway knows of.
    """

    def __init__(self, questions: Questions, desk: Desk) -> None:
        self._questions = questions
        self._desk = desk
        self.news = asyncio.Event()

    async def create(self, order: CreateBatch) -> Batch:
        """Record a batch and return it; done twice there is one."""
        return await self._told(self._questions.ask(CREATE_BATCH, order, Batch))

    async def take_in(self, order: CreateBatch, submissions: Sequence[Submission], *, is_kept: bool) -> Batch:
        """Record a batch that is all here and take its jobs in; return it. Raises what `Desk.submit_all` does.

        The record comes first: wherever this ends, no job is without its batch, and done again it goes on.
        """
        await self.create(order)
        crash.point("gateway.batch_recorded")
        try:
            await self._desk.submit_all(submissions, is_kept=is_kept)
        except FaultError as error:
            if not (is_kept and is_unknown(error)):
                await self._withdraw(order.account, order.batch)
            raise
        crash.point("gateway.batch_taken_in")
        return await self.get(order.account, order.batch)

    async def _withdraw(self, account: str, batch: str) -> None:
        """What was refused is told in any case, even if this fails."""
        with suppress(FaultError):
            await self._questions.ask(WITHDRAW_BATCH, WithdrawBatch(batch=batch, account=account), Batch)

    async def get(self, account: str, batch: str) -> Batch:
        """Return the batch. Raises `NotFound`."""
        return await self._questions.ask(GET_BATCH, GetBatch(batch=batch, account=account), Batch)

    async def list(self, wanted: ListBatches) -> BatchPage:
        """Return a page of an account's batches. Raises `NotFound` for the batch they come after."""
        return await self._questions.ask(LIST_BATCHES, wanted, BatchPage)

    async def cancel(self, account: str, batch: str, seconds: float = 0.0) -> Batch:
        """Cancel the batch and some hundreds of its jobs, all if there are fewer, and further ones for so long.

        Return it. Raises `NotFound`.
        """
        order = CancelBatch(batch=batch, account=account, seconds=seconds)
        return await self._told(self._questions.ask(CANCEL_BATCH, order, Batch))

    async def _told(self, answer: Awaitable[Batch]) -> Batch:
        batch = await answer
        self.news.set()
        return batch

    async def lease(self, seconds: float) -> BatchLeased:
        """Return a batch to work on for some time, if there is one."""
        return await self._questions.ask(LEASE_BATCH, LeaseBatch(seconds=seconds), BatchLeased)

    async def note(self, note: NoteBatch) -> Batch:
        """Say how far the work on a batch is. Raises `Conflict` if somebody else has it by now."""
        return await self._questions.ask(NOTE_BATCH, note, Batch)

    async def done(self, done: BatchDone) -> Batch:
        """Say that a batch has ended. Raises `Conflict` if somebody else has it by now."""
        return await self._questions.ask(BATCH_DONE, done, Batch)
