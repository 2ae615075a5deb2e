"""Batches in OpenAI's words: each status with the time it began, windows, and what the lines took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gridloom_contract.batches import Batch, BatchError
from gridloom_contract.files import FileEntry
from gridloom_contract.vocabulary import State, Usage
from gridloom_domain import ids
from gridloom_domain.batch import Status
from gridloom_domain.errors import Invalid, NotFound
from gridloom_gateway.dialects.openai.translate import batches as translate
from gridloom_gateway.dialects.openai.wire import batches as wire
from gridloom_gateway.people import Caller
from gridloom_testing.builders import a_job_id

NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
CALLER = Caller(account="a" * 32, kid="kid00001", scopes=frozenset())
FILE = a_job_id()


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def a_batch(**changes: Any) -> Batch:
    usual: dict[str, Any] = {"batch": a_job_id(), "account": "a", "key": "k", "dialect": "openai", "created_at": NOON}
    told = {"endpoint": "/v1/embeddings", "completion_window": "24h"}
    return Batch(**(usual | {"input_file": FILE, "echo": told, "expires_at": at(60)} | changes))


def shown(batch: Batch) -> dict[str, Any]:
    return dict(msgspec.to_builtins(translate.from_batch(batch)))


RUNS = {"checked_at": at(1), "submitted_at": at(2), "counts": {State.RUNNING: 1}, "total": 1}
OVER = RUNS | {"counts": {State.SUCCEEDED: 1}, "finalizing_at": at(3)}
ERROR = BatchError(code="empty_file", message="the input file has no lines")
HISTORIES: dict[Status, tuple[dict[str, Any], dict[str, int]]] = {
    Status.VALIDATING: ({}, {}),
    Status.FAILED: ({"ended_at": at(1), "errors": (ERROR,)}, {"failed_at": 1}),
    Status.IN_PROGRESS: (RUNS, {"in_progress_at": 1}),
    Status.FINALIZING: (OVER, {"in_progress_at": 1, "finalizing_at": 3}),
    Status.COMPLETED: (OVER | {"ended_at": at(4)}, {"in_progress_at": 1, "finalizing_at": 3, "completed_at": 4}),
    Status.EXPIRED: (OVER | {"ended_at": at(61)}, {"in_progress_at": 1, "finalizing_at": 3, "expired_at": 61}),
    Status.CANCELLING: (RUNS | {"cancel_requested_at": at(2)}, {"in_progress_at": 1, "cancelling_at": 2}),
    Status.CANCELLED: (
        OVER | {"cancel_requested_at": at(2), "ended_at": at(4)},
        {"in_progress_at": 1, "finalizing_at": 3, "cancelling_at": 2, "cancelled_at": 4},
    ),
}


@pytest.mark.parametrize("status", Status)
def test_every_status_is_shown_with_the_times_that_led_to_it(status: Status) -> None:
    noted, times = HISTORIES[status]
    told = shown(a_batch(**noted))
    assert told["status"] == status
    known = {name: value for name, value in told.items() if name.endswith("_at") and value is not None}
    usual = {"created_at": 0, "expires_at": 60}
    assert known == {name: int(at(minutes).timestamp()) for name, minutes in (usual | times).items()}


def test_errors_name_their_lines() -> None:
    errors = (ERROR, BatchError(code="invalid_url", message="no", line=3, param="url"))
    told = shown(a_batch(errors=errors, ended_at=at(1)))["errors"]
    assert told["object"] == "list"
    assert told["data"] == [
        {"code": "empty_file", "message": "the input file has no lines", "line": None, "param": None},
        {"code": "invalid_url", "message": "no", "line": 3, "param": "url"},
    ]


def test_model_and_tokens_are_told_once_they_are_known() -> None:
    assert {"model", "usage"}.isdisjoint(shown(a_batch()))
    told = shown(a_batch(model="m", usage=Usage(tokens_in=3, tokens_out=4)))
    assert told["model"] == "m"
    assert told["usage"] == {
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.parametrize(
    ("window", "length"),
    [("24h", timedelta(days=1)), ("1h", timedelta(hours=1)), ("30d", timedelta(days=30)), ("720h", timedelta(days=30))],
)
def test_a_window_is_hours_or_days(window: str, length: timedelta) -> None:
    assert an_order(completion_window=window).expires_at == NOON + length


@pytest.mark.parametrize("window", ["31d", "721h"])
def test_a_window_beyond_a_month_is_refused(window: str) -> None:
    with pytest.raises(Invalid) as refused:
        an_order(completion_window=window)
    assert refused.value.fault.field == "completion_window"


@pytest.mark.parametrize(("minutes", "end"), [(90, 60), (70, 60), (65, 55)])
def test_a_batch_ends_before_its_file_does_for_the_results_name_its_lines(minutes: int, end: int) -> None:
    file = FileEntry(file=FILE, name="f", label="batch", size_bytes=1, created_at=NOON, expires_at=at(minutes))
    assert translate.with_file(an_order(completion_window="1h"), file).expires_at == at(end)


@pytest.mark.parametrize(
    "text",
    ["", "batch_", "batch_abc", ids.as_base32(FILE), f"file-{ids.as_base32(FILE)}"],
    ids=["nothing", "the prefix", "too short", "a bare id", "a file"],
)
def test_what_is_no_id_of_a_batch_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        translate.to_batch_id(text)


def an_order(**fields: Any) -> Any:
    wanted = wire.FromFile(input_file_id=f"file-{ids.as_base32(FILE)}", endpoint="/v1/embeddings", **fields)
    return translate.to_file_order(wanted, CALLER, a_job_id(), NOON)
