"""Batches: many jobs that were asked for together. The scheduler keeps the record; a clerk in a gateway does the work.

A batch with an `input_file` is read, checked, submitted line by line and written down by whichever gateway leases it.
"""

from __future__ import annotations

from typing import Any

from gridloom_contract.base import Instant, Message, Value
from gridloom_contract.vocabulary import State, Usage


class BatchError(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Why a batch cannot be carried out: what is wrong with its file, or with one of its lines, counted from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Batch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.document.1"):
    """A batch as its owner may see it. `counts` says how many of its jobs are in which state.

    `total` is how many lines it has, once they are counted and found well-formed, at `checked_at`. All of them are
    submitted at `submitted_at`; `lines_submitted` are so far. `echo` belongs to the dialect that took the batch.
    One that came without a file is submitted as well once no more of its jobs can come: its gateway died. `model` is
    that of all lines, if they have one in common. From `finalizing_at` on the results are written down; `usage` is what
    the jobs took in all.
    """

    batch: str
    account: str
    key: str
    dialect: str
    created_at: Instant
    echo: dict[str, Any] = {}
    total: int | None = None
    lines_submitted: int = 0
    counts: dict[State, int] = {}
    input_file: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[BatchError, ...] = ()
    expires_at: Instant | None = None
    checked_at: Instant | None = None
    submitted_at: Instant | None = None
    cancel_requested_at: Instant | None = None
    ended_at: Instant | None = None
    model: str | None = None
    finalizing_at: Instant | None = None
    usage: Usage | None = None


class CreateBatch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.create.1"):
    """Gateway to scheduler: record a batch. `batch` is minted by the sender, so sending it twice makes one.

    Without an `input_file` all `total` jobs of it are submitted next by its sender. Answered by the `Batch`.
    """

    batch: str
    account: str
    key: str
    dialect: str
    echo: dict[str, Any] = {}
    total: int | None = None
    input_file: str | None = None
    expires_at: Instant | None = None


class GetBatch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.get.1"):
    """Gateway to scheduler: the batch, if this account owns it. Fault `not_found` otherwise."""

    batch: str
    account: str


class ListBatches(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batches.list.1"):
    """Gateway to scheduler: an account's batches, newest first, those after the batch `after` if it is given.

    Fault `not_found` if there is no such batch.
    """

    account: str
    dialect: str
    limit: int = 20
    after: str | None = None


class BatchPage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batches.page.1"):
    """Answer to `ListBatches`."""

    batches: tuple[Batch, ...]
    has_more: bool = False


class CancelBatch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.cancel.1"):
    """Gateway to scheduler: cancel a batch and some hundreds of its living jobs, and further ones for so many seconds.

    Of fewer than 500 none is left. One that has ended stays as it is. Answered by the `Batch`: while it has living
    jobs, the order is sent again.
    """

    batch: str
    account: str
    seconds: float = 0.0


class WithdrawBatch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.withdraw.1"):
    """Gateway to scheduler: not all jobs of a batch without a file were taken. Cancel those that were, and forget it.

    Fault `not_found`, `conflict` for one with a file. Answered by the `Batch` that it was.
    """

    batch: str
    account: str


class LeaseBatch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.lease.1"):
    """Gateway to scheduler: any batch that somebody has to work on, for so many seconds."""

    seconds: float


class BatchLeased(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.leased.1"):
    """Answer to `LeaseBatch`: a batch and the lease that goes with it, or neither."""

    batch: Batch | None = None
    lease: str = ""


class NoteBatch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.note.1"):
    """Gateway to scheduler: how far the work on a leased batch is; the lease now ends in `seconds`.

    `total` (and `model`) is set once all lines are found well-formed. Fault `conflict` if somebody else has the batch
    by now. Answered by the `Batch`.
    """

    batch: str
    lease: str
    seconds: float
    total: int | None = None
    lines_submitted: int | None = None
    is_submitted: bool = False
    model: str | None = None
    is_finalizing: bool = False


class BatchDone(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch.done.1"):
    """Gateway to scheduler: a leased batch has ended; with `errors` nothing of it was carried out.

    Fault `conflict` if somebody else has the batch by now. Answered by the `Batch`.
    """

    batch: str
    lease: str
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[BatchError, ...] = ()
    usage: Usage | None = None
