"""What an account may ask about its usage, and how the answer is laid out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import msgspec

from gridloom_contract.usage import GetUsage, UsageLine, UsageReport, UsageRow
from gridloom_domain.errors import Invalid
from gridloom_usage.rules.lines import Line
from gridloom_usage.rules.rollups import SUMMED, Sums

GROUPS = ("day", "tag", "model", "key")

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MICROSECONDS = 1_000_000
_SAME_NAME = tuple(name for name in UsageLine.__struct_fields__ if name in Line.__struct_fields__)


class Period(msgspec.Struct, frozen=True):
    """From day `since` to day `until`, both included, `YYYY-MM-DD`; None is without bound."""

    since: str | None
    until: str | None


class Question(msgspec.Struct, frozen=True):
    """A question that can be answered."""

    account: str
    period: Period
    groups: tuple[str, ...]


def question_of(asked: GetUsage) -> Question:
    """Return the question. Raises `Invalid` with the field for what is no day, a period that ends before it begins, or
    an unknown group. A group that is named twice counts once.
    """
    since, until = _day(asked.since, "since"), _day(asked.until, "until")
    if since and until and until < since:
        raise Invalid(f"the period ends on {until}, before it begins on {since}", "until")
    for group in asked.group_by:
        if group not in GROUPS:
            raise Invalid(f"usage cannot be grouped by {group!r}; groups are {', '.join(GROUPS)}", "group_by")
    return Question(asked.account, Period(since, until), tuple(dict.fromkeys(asked.group_by)))


def _day(text: str | None, field: str) -> str | None:
    if text is None:
        return None
    try:
        if not _DAY.fullmatch(text):
            raise ValueError("it is not written YYYY-MM-DD")
        date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day: {error}", field) from error
    return text


def report_of(question: Question, found: Iterable[tuple[Mapping[str, str | None], Sums]]) -> UsageReport:
    """Return the answer: a row for each group in the order of the groups asked for, and the total of all rows."""
    ordered = sorted(
        found, key=lambda row: [(row[0][name] is not None, row[0][name] or "") for name in question.groups]
    )
    total = sum((sums for _, sums in ordered), Sums())
    rows = tuple(_row(where, sums) for where, sums in ordered)
    return UsageReport(
        account=question.account, rows=rows if question.groups else (_row({}, total),), total=_row({}, total)
    )


def told_line(line: Line) -> UsageLine:
    """Return a line of the ledger as its owner may see it."""
    same: dict[str, Any] = {name: getattr(line, name) for name in _SAME_NAME}
    return UsageLine(endings=len(line.entries), engine_seconds=line.engine_microseconds / _MICROSECONDS, **same)


def _row(where: Mapping[str, str | None], sums: Sums) -> UsageRow:
    groups = {name: where.get(name) for name in GROUPS}
    counts = {name: getattr(sums, name) for name in SUMMED if name != "engine_microseconds"}
    values: dict[str, Any] = groups | counts | {"engine_seconds": sums.engine_microseconds / _MICROSECONDS}
    return UsageRow(**values)
