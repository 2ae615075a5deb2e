"""Usage as tables and bars."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom_local.charts import WIDTH, bar
from gridloom_local.problems import FAILED, Problem
from gridloom_local.proofs import tell_proof
from gridloom_local.usage_report import bars_of, line_row, quota_rows, statement_rows


def counts(**changes: Any) -> dict[str, Any]:
    """One job with 3 tokens in and 2 out."""
    usual = {"jobs": 1, "completed": 1, "failed": 0, "cancelled": 0, "input_tokens": 3, "output_tokens": 2}
    return usual | {"total_tokens": 5, "estimated_jobs": 0, "engine_seconds": 0.5} | changes


def a_statement(*rows: dict[str, Any], group_by: tuple[str, ...] = ("day", "tag"), **total: Any) -> dict[str, Any]:
    """What the API says."""
    return {"group_by": list(group_by), "usage": list(rows), "total": counts(**total), "quota": None}


def test_each_group_is_a_row_and_the_last_is_their_total() -> None:
    first, second = counts(day="2026-03-01", tag="a"), counts(day="2026-03-02", tag=None, failed=1)

    rows = statement_rows(a_statement(first, second, jobs=2))

    assert rows == [
        ("2026-03-01", "a", 1, 1, 0, 0, 3, 2, 0, "0.50 s"),
        ("2026-03-02", None, 1, 1, 1, 0, 3, 2, 0, "0.50 s"),
        ("total", "", 2, 1, 0, 0, 3, 2, 0, "0.50 s"),
    ]


def test_one_row_needs_no_total() -> None:
    assert len(statement_rows(a_statement(counts(), group_by=()))) == 1
    assert len(statement_rows(a_statement(counts(tag="a"), group_by=("tag",)))) == 1


def test_bars_add_up_what_belongs_to_the_first_group() -> None:
    rows = (counts(day="d1", tag="a"), counts(day="d1", tag="b"), counts(day="d2", tag="a", total_tokens=7))

    assert bars_of(a_statement(*rows)) == ("tokens", {"d1": 10, "d2": 7})


def test_without_tokens_bars_are_jobs_and_what_has_no_name_is_a_dash() -> None:
    statement = a_statement(counts(tag=None, total_tokens=0), group_by=("tag",), total_tokens=0)

    assert bars_of(statement) == ("jobs", {"-": 1})


@pytest.mark.parametrize(
    ("value", "drawn"),
    [(0, ""), (-1, ""), (100, "█" * WIDTH), (50, "█" * (WIDTH // 2)), (0.001, "▏"), (31.25, "█" * 12 + "▌")],
)
def test_a_bar_is_as_long_as_its_value(value: float, drawn: str) -> None:
    assert bar(value, 100) == drawn


def test_a_window_without_limit_says_so() -> None:
    window = {"window": "day", "used": 5, "reserved": 0, "limit": None, "remaining": None}

    [row] = quota_rows({"windows": [window | {"resets_at": "2026-03-02T00:00:00.000Z"}]})

    assert row == ("day", 5, 0, "none", None, "2026-03-02 00:00:00")


@pytest.mark.parametrize(("estimated", "word"), [(True, "estimate"), (False, "engine")])
def test_a_line_says_who_counted(estimated: bool, word: str) -> None:
    line = counts(job_id="j", worker="w1", tag=None, dialect="native", estimated=estimated)

    assert line_row(line) == ("j", 3, 2, "w1", None, "native", word, "0.50 s")


def test_books_without_a_difference_are_one_sentence() -> None:
    assert tell_proof("usage", {"checked": 12, "differences": []}) == "usage: 12 records compared, no difference"


def test_books_with_differences_name_the_first_and_end_with_a_failure() -> None:
    differences = [f"job {number}: it is not in the ledger" for number in range(12)]

    with pytest.raises(Problem) as caught:
        tell_proof("usage", {"checked": 20, "differences": differences})

    assert "job 0: it is not in the ledger" in caught.value.message
    assert "and 2 more" in caught.value.message
    assert caught.value.exit_code == FAILED
