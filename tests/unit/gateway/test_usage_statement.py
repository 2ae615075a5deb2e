"""A statement of usage: the question behind it, its spelling, and the same as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import msgspec
import pytest

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.quota import Window
from gridloom_contract.usage import UsageLine, UsageReport, UsageRow
from gridloom_contract.vocabulary import State
from gridloom_gateway.headroom import Headroom, WindowHeadroom
from gridloom_gateway.usage_statement import UsageQuery, as_asked, from_line, to_csv, to_question, to_statement

TODAY = date(2026, 3, 15)
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
ROW = UsageRow(
    day="2026-03-15",
    tag="geo",
    jobs=4,
    succeeded=2,
    failed=1,
    canceled=1,
    tokens_in=30,
    tokens_out=12,
    estimated_jobs=1,
    engine_seconds=1.25,
)
DAY = WindowHeadroom(
    window=Window.DAY, used=40, reserved=10, limit=100, remaining=50, started_at=NOON, resets_at=NOON.replace(day=16)
)


def a_report(*rows: UsageRow) -> UsageReport:
    """What the usage service says."""
    return UsageReport(account="acc1", rows=rows, total=msgspec.structs.replace(ROW, day=None, tag=None))


@pytest.mark.parametrize(
    ("query", "since", "until", "groups"),
    [
        (UsageQuery(), "2026-02-14", "2026-03-15", ("day", "tag")),
        (UsageQuery(since="2026-03-01"), "2026-03-01", "2026-03-15", ("day", "tag")),
        (UsageQuery(until="2026-01-31"), "2026-01-02", "2026-01-31", ("day", "tag")),
        (UsageQuery(since="2025-01-01", until="2025-01-02"), "2025-01-01", "2025-01-02", ("day", "tag")),
        (UsageQuery(until="2026-02-31"), None, "2026-02-31", ("day", "tag")),
        (UsageQuery(until="0001-01-01"), None, "0001-01-01", ("day", "tag")),
        (UsageQuery(group_by="model"), "2026-02-14", "2026-03-15", ("model",)),
        (UsageQuery(group_by="day,key,"), "2026-02-14", "2026-03-15", ("day", "key")),
        (UsageQuery(group_by=""), "2026-02-14", "2026-03-15", ()),
    ],
)
def test_what_is_not_asked_for_is_the_last_thirty_days_by_day_and_tag(
    query: UsageQuery, since: str | None, until: str, groups: tuple[str, ...]
) -> None:
    question = to_question(query, "acc1", TODAY)

    assert (question.account, question.since, question.until) == ("acc1", since, until)
    assert question.group_by == groups


@pytest.mark.parametrize(("field", "spelled"), [("since", "from"), ("until", "to"), ("group_by", "group_by")])
def test_an_error_names_the_field_as_it_was_asked(field: str, spelled: str) -> None:
    error = as_asked(FaultError(Fault(code=FaultCode.INVALID, message="no day", field=field)))

    assert error.fault.field == spelled


def test_an_error_without_a_field_has_none() -> None:
    assert as_asked(FaultError(Fault(code=FaultCode.UNAVAILABLE, message="nobody answered"))).fault.field is None


def test_a_statement_speaks_as_job_documents_do() -> None:
    statement = to_statement(to_question(UsageQuery(), "acc1", TODAY), a_report(ROW), None)

    body = msgspec.to_builtins(statement)
    assert body["usage"] == [
        {
            "day": "2026-03-15",
            "tag": "geo",
            "jobs": 4,
            "completed": 2,
            "failed": 1,
            "cancelled": 1,
            "input_tokens": 30,
            "output_tokens": 12,
            "total_tokens": 42,
            "estimated_jobs": 1,
            "engine_seconds": 1.25,
        }
    ]
    assert (body["from"], body["to"], body["group_by"]) == ("2026-02-14", "2026-03-15", ["day", "tag"])
    assert body["total"]["total_tokens"] == 42
    assert body["quota"] is None


def test_jobs_without_a_tag_have_a_tag_of_null_and_other_groups_are_left_out() -> None:
    question = to_question(UsageQuery(group_by="tag"), "acc1", TODAY)

    [row] = msgspec.to_builtins(to_statement(question, a_report(UsageRow(jobs=1)), None))["usage"]

    assert row["tag"] is None
    assert {"day", "model", "key"}.isdisjoint(row)


def test_what_is_left_of_each_window_is_told_with_its_reset() -> None:
    headroom = Headroom(plan="small", windows=(DAY,), held_until=NOON)

    quota = msgspec.to_builtins(to_statement(to_question(UsageQuery(), "acc1", TODAY), a_report(), headroom))["quota"]

    assert quota == {
        "plan": "small",
        "held_until": "2026-03-15T12:00:00.000Z",
        "windows": [
            {
                "window": "day",
                "limit": 100,
                "used": 40,
                "reserved": 10,
                "remaining": 50,
                "started_at": "2026-03-15T12:00:00.000Z",
                "resets_at": "2026-03-16T12:00:00.000Z",
            }
        ],
    }


def test_csv_has_the_rows_of_the_statement_and_their_names() -> None:
    rows = (ROW, msgspec.structs.replace(ROW, tag='a "b", c\nd'), msgspec.structs.replace(ROW, tag=None))
    statement = to_statement(to_question(UsageQuery(), "acc1", TODAY), a_report(*rows), None)

    read = list(csv.DictReader(io.StringIO(to_csv(statement))))

    expected = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in msgspec.to_builtins(statement)["usage"]
    ]
    assert read == expected


@pytest.mark.parametrize("tag", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_tag_is_a_formula_in_a_spreadsheet(tag: str) -> None:
    report = a_report(msgspec.structs.replace(ROW, tag=tag))

    [row] = csv.DictReader(io.StringIO(to_csv(to_statement(to_question(UsageQuery(), "acc1", TODAY), report, None))))

    assert row["tag"] == f"'{tag}"


def test_a_jobs_line_speaks_as_job_documents_do() -> None:
    line = UsageLine(
        job="01a1f88425e87de780df1fa106fc21bf",
        account="acc1",
        key="k7f3m2q",
        model="m",
        dialect="native",
        state=State.SUCCEEDED,
        ended_at=NOON,
        endings=1,
        tokens_in=30,
        tokens_out=12,
        engine_seconds=1.25,
    )

    assert msgspec.to_builtins(from_line(line)) == {
        "job_id": "01a1f884-25e8-7de7-80df-1fa106fc21bf",
        "id": "01a1f884-25e8-7de7-80df-1fa106fc21bf",
        "status": "completed",
        "model": "m",
        "dialect": "native",
        "key": "k7f3m2q",
        "input_tokens": 30,
        "output_tokens": 12,
        "total_tokens": 42,
        "estimated": False,
        "engine_seconds": 1.25,
        "endings": 1,
        "ended_at": "2026-03-15T12:00:00.000Z",
        "tag": None,
        "worker": None,
        "served_model": None,
    }
