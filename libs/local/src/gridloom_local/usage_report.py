"""An account's usage as tables and a chart. Pure but for the printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gridloom_local.charts import print_bars
from gridloom_local.tables import moment, print_table, seconds

Statement = Mapping[str, Any]

_COUNTS: Final = {
    "jobs": "jobs",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "tokens in": "input_tokens",
    "tokens out": "output_tokens",
    "estimated": "estimated_jobs",
}
_LINE: Final = {
    "job": "job_id",
    "tokens in": "input_tokens",
    "tokens out": "output_tokens",
    "worker": "worker",
    "tag": "tag",
    "dialect": "dialect",
}


def print_statement(statement: Statement) -> None:
    """Print the rows with their total, a bar for each day (or whatever comes first), and what is left of the quota."""
    columns = (*statement["group_by"], *_COUNTS, "engine time")
    period = f"Usage from {statement['from']} to {statement['to']}, UTC"
    print_table(columns, statement_rows(statement), title=period)
    if statement["group_by"]:
        unit, values = bars_of(statement)
        print_bars(statement["group_by"][0], unit, values)
    if statement["quota"] is not None:
        windows = ("window", "used", "reserved", "limit", "left", "resets")
        print_table(windows, quota_rows(statement["quota"]), title=f"Plan {statement['quota']['plan']}")


def statement_rows(statement: Statement) -> list[tuple[object, ...]]:
    """Return a row for each group, and the total if there are several."""
    groups = statement["group_by"]
    rows = [(*(row[group] for group in groups), *_counts(row)) for row in statement["usage"]]
    if groups and len(rows) > 1:
        rows.append(("total", *("" for _ in groups[1:]), *_counts(statement["total"])))
    return rows


def bars_of(statement: Statement) -> tuple[str, dict[str, float]]:
    """Return what a chart shows of a statement: tokens by its first group, or jobs if there are no tokens."""
    group = statement["group_by"][0]
    unit, field = ("tokens", "total_tokens") if statement["total"]["total_tokens"] else ("jobs", "jobs")
    values: dict[str, float] = {}
    for row in statement["usage"]:
        name = row[group] or "-"
        values[name] = values.get(name, 0) + row[field]
    return unit, values


def quota_rows(quota: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return a row for each window."""
    return [
        (
            window["window"],
            window["used"],
            window["reserved"],
            "none" if window["limit"] is None else window["limit"],
            window["remaining"],
            moment(window["resets_at"]),
        )
        for window in quota["windows"]
    ]


def print_line(line: Mapping[str, Any]) -> None:
    """Print what one job took."""
    print_table((*_LINE, "counted by", "engine time"), [line_row(line)], title="What the job is charged")


def line_row(line: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the usage of one job as a row; an estimate says that it is one."""
    counted_by = "estimate" if line["estimated"] else "engine"
    return (*(line[field] for field in _LINE.values()), counted_by, seconds(line["engine_seconds"]))


def _counts(row: Mapping[str, Any]) -> Sequence[object]:
    return (*(row[field] for field in _COUNTS.values()), seconds(row["engine_seconds"]))
