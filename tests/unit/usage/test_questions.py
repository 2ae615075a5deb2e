from __future__ import annotations

import pytest

from gridloom_contract.fault import FaultCode
from gridloom_contract.usage import GetUsage, UsageRow
from gridloom_domain.errors import Invalid
from gridloom_usage.rules.questions import Period, Question, question_of, report_of
from gridloom_usage.rules.rollups import Sums


def a_question(**asked):
    return question_of(GetUsage(account="acc1", **asked))


def test_without_a_period_everything_is_asked_for_by_day_and_tag():
    assert a_question() == Question("acc1", Period(None, None), ("day", "tag"))


@pytest.mark.parametrize(
    ("since", "until"), [("2026-01-01", None), (None, "2026-01-01"), ("2026-01-01", "2026-01-01"), ("2024-02-29", None)]
)
def test_a_period_may_be_open_or_a_single_day(since, until):
    assert a_question(since=since, until=until).period == Period(since, until)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": "2026-1-1"}, "since"),
        ({"since": "2026-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-W01-1"}, "since"),
        ({"since": "２０２６-01-01"}, "since"),
        ({"since": "2026-13-01"}, "since"),
        ({"until": "2025-02-29"}, "until"),
        ({"until": "0000-01-01"}, "until"),
        ({"until": "yesterday"}, "until"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "until"),
        ({"group_by": ("week",)}, "group_by"),
        ({"group_by": ("",)}, "group_by"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_the_name_of_its_field(asked, field):
    with pytest.raises(Invalid) as refused:
        a_question(**asked)
    assert (refused.value.fault.code, refused.value.fault.field) == (FaultCode.INVALID, field)


def test_a_group_named_twice_counts_once():
    assert a_question(group_by=("tag", "day", "tag")).groups == ("tag", "day")


def test_rows_are_ordered_by_the_groups_in_the_order_asked_and_without_a_tag_first():
    found = [
        ({"tag": tag, "day": day}, Sums(jobs=1)) for day in ("2026-01-02", "2026-01-01") for tag in ("b", None, "a")
    ]
    report = report_of(a_question(group_by=("tag", "day")), found)
    assert [(row.tag, row.day) for row in report.rows] == [
        (None, "2026-01-01"),
        (None, "2026-01-02"),
        ("a", "2026-01-01"),
        ("a", "2026-01-02"),
        ("b", "2026-01-01"),
        ("b", "2026-01-02"),
    ]


def test_the_total_is_the_sum_of_all_rows():
    found = [({"day": "2026-01-01"}, Sums(jobs=2, tokens_in=3, engine_microseconds=1_500_000))] * 2
    report = report_of(a_question(group_by=("day",)), found)
    assert report.total == UsageRow(jobs=4, tokens_in=6, engine_seconds=3.0)


def test_without_groups_there_is_one_row_even_of_nothing():
    assert report_of(a_question(group_by=()), []).rows == (UsageRow(),)
