"""Batches in the words of both APIs that share the path. What a batch is made of says whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from gridloom_contract.batches import Batch, BatchPage, CreateBatch, ListBatches
from gridloom_contract.files import FileEntry
from gridloom_contract.jobs import Job, ListJobs, Submission
from gridloom_contract.vocabulary import State, Usage
from gridloom_domain import ids
from gridloom_domain.batch import MOST_REQUESTS, Progress, Status, failed, progress_of, status_of
from gridloom_domain.errors import Invalid, NotFound, UnknownModel
from gridloom_gateway.dialects.openai.translate.faults import TooMany
from gridloom_gateway.dialects.openai.translate.files import file_name, to_file_id
from gridloom_gateway.dialects.openai.translate.jobs import from_job
from gridloom_gateway.dialects.openai.translate.lines import to_line_submission, wish_of
from gridloom_gateway.dialects.openai.translate.requests import DIALECT
from gridloom_gateway.dialects.openai.wire import batches as shown
from gridloom_gateway.people import Caller

_PREFIX: Final = "batch_"
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST: Final = timedelta(days=30)
_WRITING: Final = timedelta(minutes=10)
"""Writing down the results of a batch takes no longer."""
PROGRESS: Final[dict[Progress, Any]] = {
    Progress.PENDING: "PENDING",
    Progress.PROCESSING: "PROCESSING",
    Progress.DONE: "DONE",
}
_ENDINGS: Final = {
    Status.COMPLETED: "completed_at",
    Status.FAILED: "failed_at",
    Status.EXPIRED: "expired_at",
    Status.CANCELLED: "cancelled_at",
}


def batch_name(batch: str) -> str:
    """Return a batch's id as it is shown."""
    return _PREFIX + ids.as_base32(batch)


def to_batch_id(text: str) -> str:
    """Return the core's id. Raises the same `NotFound` as for a batch that does not exist."""
    try:
        return ids.from_base32(text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else "")
    except ValueError:
        raise NotFound("there is no such batch") from None


def to_file_order(wanted: shown.FromFile, caller: Caller, batch: str, now: datetime) -> CreateBatch:
    """Return what the core records of a batch with a file. Raises `Invalid` for a window beyond 30 days."""
    kept = wanted.output_expires_after
    window = int(wanted.completion_window[:-1]) * _UNITS[wanted.completion_window[-1]]
    if window > _LONGEST:
        raise Invalid(f"a window of {wanted.completion_window} is longer than 30 days", "completion_window")
    return CreateBatch(
        batch=batch,
        account=caller.account,
        key=caller.kid,
        dialect=DIALECT,
        echo={
            "endpoint": wanted.endpoint,
            "completion_window": wanted.completion_window,
            "metadata": wanted.metadata,
            "keep_seconds": None if kept is None else float(kept.seconds),
        },
        input_file=to_file_id(wanted.input_file_id),
        expires_at=now + window,
    )


def with_file(order: CreateBatch, file: FileEntry) -> CreateBatch:
    """Return the order with a window that is over before the file is: the results name its lines."""
    last = file.expires_at - _WRITING
    return order if order.expires_at is None or order.expires_at <= last else replace(order, expires_at=last)


def to_order(wanted: shown.FromRequests, caller: Caller, batch: str) -> CreateBatch:
    """Return what the core records of a batch whose jobs are all there."""
    return CreateBatch(
        batch=batch,
        account=caller.account,
        key=caller.kid,
        dialect=DIALECT,
        echo={"label": wanted.label},
        total=len(wanted.requests),
    )


def to_submissions(wanted: shown.FromRequests, caller: Caller, batch: str) -> list[Submission]:
    """Return the jobs of all requests. Raises `TooMany`, or `Invalid` with the place of the first that is wrong."""
    if len(wanted.requests) > MOST_REQUESTS:
        raise TooMany(f"{len(wanted.requests)} requests are more than {MOST_REQUESTS}", "requests")
    return [_submission(place, entry, caller, batch) for place, entry in enumerate(wanted.requests)]


def check_models(submissions: Sequence[Submission], known: frozenset[str]) -> None:
    """Raise `UnknownModel` for the first job whose model nobody ever offered."""
    for place, submission in enumerate(submissions):
        if submission.model not in known:
            raise UnknownModel(f"unknown model {submission.model[:200]!r}", f"requests[{place}].body.model")


def from_batch(batch: Batch, jobs: Sequence[Job] | None = None) -> shown.FileBatch | shown.RequestBatch:
    """Return the batch as its owner sees it: in the words of the API that it was made with."""
    return _request_batch(batch, jobs) if batch.input_file is None else _file_batch(batch)


def to_listing(query: shown.ListQuery, account: str) -> ListBatches:
    """Return the question for one page."""
    after = None if query.after is None else to_batch_id(query.after)
    return ListBatches(account=account, dialect=DIALECT, limit=query.limit, after=after)


def from_page(page: BatchPage) -> shown.BatchList:
    """Return one page of a listing."""
    data = [from_batch(batch) for batch in page.batches]
    return shown.BatchList(
        data=data,
        has_more=page.has_more,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def to_jobs_of(batch: Batch) -> ListJobs:
    """Return the question for the jobs of a batch that came as requests."""
    return ListJobs(account=batch.account, parent=batch.batch, per_page=MOST_REQUESTS)


def _submission(place: int, entry: shown.Entry, caller: Caller, batch: str) -> Submission:
    endpoint = "/v1/" + entry.endpoint.strip("/").removeprefix("v1/")
    try:
        wish = wish_of(endpoint, entry.body)
    except Invalid as error:
        field = ".".join(name for name in (f"requests[{place}]", error.fault.field) if name)
        raise Invalid(f"requests[{place}]: {error.fault.message}", field) from None
    return to_line_submission(wish, caller, (batch, place), None)


def _request_batch(batch: Batch, jobs: Sequence[Job] | None) -> shown.RequestBatch:
    counts = batch.counts
    return shown.RequestBatch(
        id=batch_name(batch.batch),
        label=batch.echo.get("label"),
        status=PROGRESS[progress_of(batch)],
        total=batch.total or 0,
        queued=counts.get(State.HELD, 0) + counts.get(State.QUEUED, 0),
        processing=counts.get(State.CLAIMED, 0) + counts.get(State.RUNNING, 0),
        processed=counts.get(State.SUCCEEDED, 0),
        failed=failed(batch),
        created=_seconds(batch.created_at) or 0,
        jobs=UNSET if jobs is None else [from_job(job) for job in _in_order(batch, jobs)],
    )


def _in_order(batch: Batch, jobs: Sequence[Job]) -> list[Job]:
    by_id = {job.job: job for job in jobs}
    places = (ids.derived(batch.batch, place) for place in range(batch.total or 0))
    return [by_id[place] for place in places if place in by_id]


def _file_batch(batch: Batch) -> shown.FileBatch:
    status, counts = status_of(batch), batch.counts
    ended: dict[str, Any] = {_ENDINGS[status]: _seconds(batch.ended_at)} if status in _ENDINGS else {}
    return shown.FileBatch(
        id=batch_name(batch.batch),
        endpoint=batch.echo["endpoint"],
        status=str(status),
        input_file_id=file_name(batch.input_file or ""),
        completion_window=batch.echo["completion_window"],
        created_at=_seconds(batch.created_at) or 0,
        request_counts=shown.RequestCounts(
            total=batch.total or 0, completed=counts.get(State.SUCCEEDED, 0), failed=failed(batch)
        ),
        output_file_id=_file(batch.output_file),
        error_file_id=_file(batch.error_file),
        errors=_problems(batch),
        in_progress_at=_seconds(batch.checked_at),
        expires_at=_seconds(batch.expires_at),
        finalizing_at=_seconds(batch.finalizing_at),
        cancelling_at=_seconds(batch.cancel_requested_at),
        metadata=batch.echo.get("metadata"),
        model=batch.model or UNSET,
        usage=UNSET if batch.usage is None else _usage_of(batch.usage),
        **ended,
    )


def _usage_of(usage: Usage) -> shown.BatchUsage:
    tokens_in, tokens_out = usage.tokens_in, usage.tokens_out
    return shown.BatchUsage(input_tokens=tokens_in, output_tokens=tokens_out, total_tokens=tokens_in + tokens_out)


def _problems(batch: Batch) -> shown.Problems | None:
    if not batch.errors:
        return None
    data = [
        shown.Problem(code=error.code, message=error.message, line=error.line, param=error.param)
        for error in batch.errors
    ]
    return shown.Problems(data=data)


def _file(file: str | None) -> str | None:
    return None if file is None else file_name(file)


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.astimezone(UTC).timestamp())
