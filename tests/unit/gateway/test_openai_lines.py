"""Lines of batch files: what is wrong with them, what they ask for, and how their results are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.batches import Batch, BatchError
from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind, State
from gridloom_domain import ids
from gridloom_domain.batch import MOST_LINES
from gridloom_domain.errors import Invalid, UnknownModel
from gridloom_domain.job import Reason
from gridloom_gateway.clerk.lines import MOST_LINE_BYTES, Line, portions
from gridloom_gateway.dialects.openai.translate.lines import BatchLanguage, Inspection
from gridloom_testing.builders import a_job, a_job_id

CHAT = "/v1/chat/completions"
NOON = datetime(2026, 6, 20, 12, 0, tzinfo=UTC)
BATCH = Batch(
    batch=a_job_id(),
    account="a" * 32,
    key="kid00001",
    dialect="openai",
    created_at=NOON,
    echo={"endpoint": CHAT},
    input_file=a_job_id(),
    expires_at=NOON + timedelta(days=1),
)
LANGUAGE = BatchLanguage()


def a_line(number: int = 1, body: Any = None, **changes: Any) -> Line:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} if body is None else body
    told = {"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": body} | changes
    return Line(number, msgspec.json.encode(told))


def errors_of(*lines: Line) -> tuple[BatchError, ...]:
    inspection = Inspection(CHAT)
    inspection.take(lines)
    return inspection.errors()


def written(outcome: Any, line: Line | None = None, batch: Batch = BATCH) -> tuple[dict[str, Any], bool]:
    result = LANGUAGE.result(batch, line or a_line(), outcome)
    return msgspec.json.decode(result.text), result.is_answer


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (Line(2, b"{"), "invalid_json_line", None),
        (Line(2, b"\xff\xfe"), "invalid_json_line", None),
        (Line(2, b"[" * 100_000), "invalid_request", None),
        (Line(2, b"5"), "invalid_request", None),
        (Line(2, b"x" * (MOST_LINE_BYTES + 1)), "line_too_long", None),
        (a_line(2, custom_id=""), "invalid_request", "custom_id"),
        (a_line(2, custom_id=7), "invalid_request", "custom_id"),
        (a_line(2, body="text"), "invalid_request", "body"),
        (a_line(1), "duplicate_custom_id", "custom_id"),
        (a_line(2, method="GET"), "invalid_method", "method"),
        (a_line(2, url="/v1/images/generations"), "invalid_url", "url"),
        (a_line(2, url="/v1/embeddings"), "mismatched_endpoint", "url"),
    ],
)
def test_a_line_that_is_wrong_is_named(line: Line, code: str, param: str | None) -> None:
    [error] = errors_of(a_line(1), Line(2, line.text))
    assert (error.line, error.code, error.param) == (2, code, param)
    assert len(error.message) < 200


@given(st.binary(max_size=64))
def test_whatever_a_line_is_it_is_judged(text: bytes) -> None:
    assert len(errors_of(Line(1, text))) <= 1


def test_lines_that_are_well_formed_are_left_to_the_grid() -> None:
    assert errors_of(a_line(1), a_line(2, body={}), a_line(3, body={"model": "nobody"})) == ()


def test_a_file_has_at_least_one_line_and_not_too_many() -> None:
    assert [error.code for error in errors_of()] == ["empty_file"]
    inspection = Inspection(CHAT)
    inspection.total = MOST_LINES
    inspection.take([a_line(1)])
    assert [error.code for error in inspection.errors()] == ["too_many_tasks"]


def test_of_very_many_errors_the_first_are_named() -> None:
    assert [error.line for error in errors_of(*(Line(number, b"{") for number in range(1, 500)))] == list(range(1, 51))


def test_a_line_becomes_a_job_of_its_batch_on_the_low_lane() -> None:
    line = a_line(7, body={"model": "m", "messages": [{"role": "user"}], "stream": True, "temperature": 0.5})
    submission = LANGUAGE.submission(BATCH, line)
    assert submission == LANGUAGE.submission(BATCH, line)
    assert (submission.job, submission.parent) == (ids.derived(BATCH.batch, 7), BATCH.batch)
    assert (submission.batch, submission.sync, submission.listed, submission.priority) == (True, False, False, -1)
    assert (submission.account, submission.key) == (BATCH.account, BATCH.key)
    assert submission.deadline_at == BATCH.expires_at
    assert submission.task.raw == {"messages": [{"role": "user"}], "temperature": 0.5}


@pytest.mark.parametrize(("body", "field"), [({}, "model"), ({"model": "m"}, "messages"), ({"model": 1}, "model")])
def test_a_body_that_asks_for_nothing_is_refused(body: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        LANGUAGE.submission(BATCH, a_line(1, body=body))
    assert refused.value.fault.field == field


def test_a_response_that_would_need_a_memory_is_refused() -> None:
    body = {"model": "m", "input": "Hi", "previous_response_id": "resp_1"}
    with pytest.raises(Invalid) as refused:
        LANGUAGE.submission(BATCH, a_line(1, url="/v1/responses", body=body))
    assert refused.value.fault.field == "previous_response_id"


def test_an_answer_is_written_whole_with_the_line_that_asked() -> None:
    output = '{"choices":[{"index":0,"message":{"content":"Hi"}}],"usage":{"completion_tokens":1}}'
    job = a_job(state=State.SUCCEEDED, task=Task(kind=Kind.CHAT, raw={}), output=output)
    line, is_answer = written(job)
    assert is_answer
    assert (line["custom_id"], line["error"]) == ("line-1", None)
    assert line["id"] == f"batch_req_{line['response']['request_id']}"
    assert line["response"]["status_code"] == 200
    assert line["response"]["body"]["object"] == "chat.completion"
    assert line["response"]["body"]["choices"] == msgspec.json.decode(output)["choices"]


@pytest.mark.parametrize(
    ("outcome", "status", "kind"),
    [
        (Invalid("no", "messages"), 400, "invalid_request"),
        (UnknownModel("who?", "model"), 404, "no_provider"),
        (a_job(state=State.FAILED, error=Fault(code=FaultCode.UPSTREAM, message="broken")), 502, "upstream_error"),
        (a_job(state=State.CANCELED, reason=str(Reason.TIMEOUT)), 502, "upstream_error"),
        (a_job(state=State.SUCCEEDED, task=Task(raw={}), output=None, data_removed=True), 502, "upstream_error"),
    ],
)
def test_what_went_wrong_is_written_as_a_request_would_be_told(outcome: Any, status: int, kind: str) -> None:
    line, is_answer = written(outcome)
    assert not is_answer
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["type"]) == (status, kind)
    assert line["error"] is None


CANCELED = msgspec.structs.replace(BATCH, cancel_requested_at=NOON)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (LANGUAGE.interrupted(CANCELED), "batch_cancelled"),
        (LANGUAGE.interrupted(BATCH), "batch_expired"),
        (a_job(state=State.CANCELED, reason=str(Reason.USER)), "batch_cancelled"),
        (a_job(state=State.CANCELED, reason=str(Reason.DEADLINE)), "batch_expired"),
    ],
)
def test_a_line_that_was_not_carried_out_has_no_response(outcome: Any, code: str) -> None:
    line, is_answer = written(outcome)
    assert not is_answer
    assert (line["response"], line["error"]["code"]) == (None, code)


async def test_lines_come_in_portions_numbered_as_they_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"a\n\n  \r\nb\nc\nd")
    found = [[(line.number, line.text.strip()) for line in lines] async for lines in portions(path, 2)]
    assert found == [[(1, b"a"), (4, b"b")], [(5, b"c"), (6, b"d")], []]
    rest = [line.number async for lines in portions(path, 2, after=4) for line in lines]
    assert rest == [5, 6]


async def test_a_file_of_another_system_is_read_as_it_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join((a_line(1).text, a_line(2).text)))
    [lines] = [lines async for lines in portions(path, 10)]
    assert errors_of(*lines) == ()
    assert [line.number for line in lines] == [1, 3]


async def test_a_file_with_nothing_but_blanks_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\xef\xbb\xbf\r\n  \n")
    assert [lines async for lines in portions(path, 10)] == [[]]


async def test_very_many_blanks_are_not_looked_at_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\n" * 200_000 + b"a\n")
    found = [[line.number for line in lines] async for lines in portions(path, 10)]
    assert found == [[], [], [], [200_001]]


def test_the_model_is_known_that_all_lines_name() -> None:
    models = {("a", "a"): "a", ("a", "b"): None, (): None}
    for named, model in models.items():
        inspection = Inspection(CHAT)
        inspection.take([a_line(number, body={"model": name}) for number, name in enumerate(named)])
        assert inspection.model == model
