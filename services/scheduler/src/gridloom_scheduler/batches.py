"""What the gateway asks and orders about batches: their record is here, and how their jobs are; their files are not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

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
from gridloom_domain.batch import whole_since
from gridloom_domain.errors import Conflict, Invalid, NotFound
from gridloom_scheduler.canceling import Canceling
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.record import to_document
from gridloom_scheduler.store.batches import BatchRecord, BatchStore, Counts

_MOST_PER_PAGE = 100
_SAME_NAME = (
    *("account", "key", "dialect", "created_at", "total", "lines_submitted", "input_file", "output_file", "error_file"),
    *("errors", "expires_at", "checked_at", "cancel_requested_at", "ended_at", "model", "finalizing_at", "usage"),
)


class BatchDesk:
    """One method a message. A batch of another account does not exist."""

    def __init__(self, batches: BatchStore, canceling: Canceling, chance: Chance) -> None:
        self._batches = batches
        self._canceling = canceling
        self._chance = chance

    async def on_create(self, order: CreateBatch) -> Batch:
        """Record a batch, once. Raises `Conflict` if its id is another account's."""
        now = self._chance.clock.now()
        is_whole = order.input_file is None
        record = await self._batches.insert(
            BatchRecord(
                id=order.batch,
                account=order.account,
                key=order.key,
                dialect=order.dialect,
                created_at=now,
                echo=msgspec.json.encode(order.echo).decode(),
                total=order.total,
                input_file=order.input_file,
                expires_at=order.expires_at,
                checked_at=now if is_whole else None,
                due_at=None if is_whole else now,
            )
        )
        if record.account != order.account:
            raise Conflict(f"the batch id {order.batch} is taken", "batch")
        return await self._view(record)

    async def on_get(self, question: GetBatch) -> Batch:
        """Return the batch. Raises `NotFound`."""
        return await self._view(await self._owned(question.batch, question.account))

    async def on_list(self, question: ListBatches) -> BatchPage:
        """Return a page of an account's batches. Raises `Invalid`, or `NotFound` for the batch they come after."""
        limit = question.limit
        if not 1 <= limit <= _MOST_PER_PAGE:
            raise Invalid(f"a page of {limit} batches is none", "limit")
        after = None if question.after is None else await self._owned(question.after, question.account)
        found = await self._batches.page_of(question.account, question.dialect, limit + 1, after)
        return BatchPage(batches=tuple(await self._views(found[:limit])), has_more=len(found) > limit)

    async def on_cancel(self, order: CancelBatch) -> Batch:
        """Cancel a batch and some of its jobs; more in more time, or when it is called again. Raises `NotFound`."""
        record = await self._owned(order.batch, order.account)
        if record.ended_at is None:
            await self._batches.cancel(record.id, self._chance.clock.now())
            await self._canceling.cancel(record.id, order.seconds)
        return await self._view(await self._owned(order.batch, order.account))

    async def on_withdraw(self, order: WithdrawBatch) -> Batch:
        """Cancel what was taken of a batch without a file, and forget it. Raises `NotFound`, or `Conflict`."""
        record = await self._owned(order.batch, order.account)
        if record.input_file is not None:
            raise Conflict("a batch with a file is canceled, not withdrawn", "batch")
        await self._canceling.cancel(record.id)
        withdrawn = await self._view(record)
        await self._batches.remove(record.id)
        return withdrawn

    async def on_lease(self, order: LeaseBatch) -> BatchLeased:
        """Give somebody a batch to work on, if there is one."""
        now, lease = self._chance.clock.now(), self._chance.ids.token()
        record = await self._batches.lease(now, now + timedelta(seconds=order.seconds), lease)
        return BatchLeased() if record is None else BatchLeased(batch=await self._view(record), lease=lease)

    async def on_note(self, order: NoteBatch) -> Batch:
        """Note how far a batch is. Raises `Conflict` without its lease."""
        now = self._chance.clock.now()
        values: dict[str, Any] = {"due_at": now + timedelta(seconds=order.seconds)}
        first: dict[str, Any] = {}
        if order.total is not None:
            first |= {"total": order.total, "checked_at": now, "model": order.model}
        if order.lines_submitted is not None:
            values["lines_submitted"] = order.lines_submitted
        if order.is_submitted:
            first["submitted_at"] = now
        if order.is_finalizing:
            first["finalizing_at"] = now
        return await self._view(_held(await self._batches.note(order.batch, order.lease, values, first)))

    async def on_done(self, order: BatchDone) -> Batch:
        """End a batch, with how its jobs are now. Raises `Conflict` without its lease."""
        counts = await self._batches.counts_of([order.batch])
        values: dict[str, Any] = {
            "ended_at": self._chance.clock.now(),
            "counts": {str(state): count for state, count in counts.get(order.batch, {}).items()},
            "errors": [to_document(error) for error in order.errors],
        }
        files = {"output_file": order.output_file, "error_file": order.error_file}
        values |= {name: file for name, file in files.items() if file is not None}
        if order.usage is not None:
            values["usage"] = to_document(order.usage)
        return await self._view(_held(await self._batches.end(order.batch, order.lease, values)))

    async def _owned(self, batch: str, account: str) -> BatchRecord:
        record = await self._batches.find(batch)
        if record is None or record.account != account:
            raise NotFound("there is no such batch")
        return record

    async def _view(self, record: BatchRecord) -> Batch:
        return (await self._views([record]))[0]

    async def _views(self, records: Sequence[BatchRecord]) -> list[Batch]:
        """The jobs of those that have ended are not counted again."""
        open_ones = [record.id for record in records if record.counts is None]
        counts = await self._batches.counts_of(open_ones) if open_ones else {}
        now = self._chance.clock.now()
        return [_view_of(record, counts.get(record.id, {}), now) for record in records]


def _view_of(record: BatchRecord, counts: Counts, now: datetime) -> Batch:
    same: dict[str, Any] = {name: getattr(record, name) for name in _SAME_NAME}
    kept = counts if record.counts is None else record.counts
    echo = msgspec.json.decode(record.echo)
    return Batch(batch=record.id, echo=echo, counts=kept, submitted_at=_submitted_at(record, kept, now), **same)


def _submitted_at(record: BatchRecord, counts: Counts, now: datetime) -> datetime | None:
    if record.submitted_at is not None or record.input_file is not None:
        return record.submitted_at
    return whole_since(record.created_at, (record.total or 0) - sum(counts.values()), now)


def _held(record: BatchRecord | None) -> BatchRecord:
    if record is None:
        raise Conflict("somebody else works on the batch by now")
    return record
