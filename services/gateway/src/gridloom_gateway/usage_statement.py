"""What an account used, as it is spelled on the wire: for its owner and for the operator the same. Pure."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gridloom_contract.fault import FaultError
from gridloom_contract.usage import GetUsage, UsageLine, UsageReport, UsageRow
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_gateway.headroom import Headroom, WindowHeadroom

USUAL_DAYS: Final = 30
USUAL_GROUPS: Final = ("day", "tag")

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra_json_schema={"format": "date"})]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, milliseconds, `Z`.")]

_SPELLED: Final = {"since": "from", "until": "to"}
_ENDED: Final = {State.SUCCEEDED: "completed", State.FAILED: "failed", State.CANCELED: "cancelled"}
_SAME_NAME: Final = (
    *("model", "dialect", "key", "estimated", "engine_seconds", "endings", "tag", "worker", "served_model"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class UsageQuery(Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """Which days (UTC, both included; the last 30 unless told otherwise), and what to group by: any of day, tag, model
    and key, with commas.
    """

    since: Day | None = None
    until: Day | None = None
    group_by: Annotated[str, Meta(max_length=100, examples=["day,tag"])] | None = None
    format: Literal["json", "csv"] | None = None


class Totals(Struct, frozen=True, kw_only=True):
    """Ended jobs and what they took. A job counts on the day it ended, and again if it was retried and ended again.

    In `estimated_jobs` the tokens were guessed from the text, because no engine counted them or nobody could have.
    """

    jobs: int
    completed: int
    failed: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated_jobs: int
    engine_seconds: float


class UsageGroup(Totals, frozen=True, kw_only=True):
    """Totals of one group. `tag` is null for jobs without one; what was not grouped by is left out."""

    day: str | UnsetType = UNSET
    tag: str | UnsetType | None = UNSET
    model: str | UnsetType = UNSET
    key: str | UnsetType = UNSET


class QuotaWindow(Struct, frozen=True, kw_only=True):
    """Tokens of a calendar window in UTC. Without a limit, `limit` and `remaining` are null."""

    window: str
    limit: int | None
    used: int
    reserved: int
    remaining: int | None
    started_at: Moment
    resets_at: Moment


class Quota(Struct, frozen=True, kw_only=True):
    """What is left. `held_until` is when the next job starts if the account is over its quota."""

    plan: str
    held_until: Moment | None
    windows: list[QuotaWindow]


class Statement(Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """What an account used, and what is left of its quota: null while that cannot be told."""

    since: str
    until: str
    group_by: list[str]
    usage: list[UsageGroup]
    total: Totals
    quota: Quota | None


class JobUsage(Struct, frozen=True, kw_only=True):
    """What a job took, all its endings together: its line in the ledger. With `estimated` some tokens were guessed."""

    job_id: str
    id: str
    status: str
    model: str
    dialect: str
    key: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated: bool
    engine_seconds: float
    endings: int
    ended_at: Moment
    tag: str | None
    worker: str | None
    served_model: str | None


def from_line(line: UsageLine) -> JobUsage:
    """Return the line of a job."""
    name = ids.as_uuid(line.job)
    return JobUsage(
        job_id=name,
        id=name,
        status=_ENDED[line.state],
        input_tokens=line.tokens_in,
        output_tokens=line.tokens_out,
        total_tokens=line.tokens_in + line.tokens_out,
        ended_at=_moment(line.ended_at),
        **{field: getattr(line, field) for field in _SAME_NAME},
    )


def to_question(query: UsageQuery, account: str, today: date) -> GetUsage:
    """Return the question; without days it is about the 30 last ones, today included."""
    until = query.until or today.isoformat()
    groups = USUAL_GROUPS if query.group_by is None else tuple(filter(None, query.group_by.split(",")))
    return GetUsage(account=account, since=query.since or _days_before(until), until=until, group_by=groups)


def as_asked(error: FaultError) -> FaultError:
    """Return the error with the field called as whoever asked has called it."""
    field = error.fault.field or ""
    return FaultError(msgspec.structs.replace(error.fault, field=_SPELLED.get(field, field) or None))


def to_statement(question: GetUsage, report: UsageReport, headroom: Headroom | None) -> Statement:
    """Return the whole answer."""
    groups = list(dict.fromkeys(question.group_by))
    return Statement(
        since=question.since or "",
        until=question.until or "",
        group_by=groups,
        usage=[_group(row, groups) for row in report.rows],
        total=Totals(**_totals(report.total)),
        quota=_quota(headroom) if headroom else None,
    )


def to_csv(statement: Statement) -> str:
    """Return the rows of a statement as CSV with a heading. A text that a spreadsheet would run is quoted with `'`."""
    text = io.StringIO()
    writer = csv.writer(text)
    columns = [*statement.group_by, *Totals.__struct_fields__]
    writer.writerow(columns)
    for row in statement.usage:
        writer.writerow([_cell(getattr(row, column)) for column in columns])
    return text.getvalue()


def _days_before(until: str) -> str | None:
    try:
        return (date.fromisoformat(until) - timedelta(days=USUAL_DAYS - 1)).isoformat()
    except (ValueError, OverflowError):
        return None  # the usage service says what is wrong with that day


def _group(row: UsageRow, groups: list[str]) -> UsageGroup:
    named = {name: getattr(row, name) for name in groups}
    return UsageGroup(**named | _totals(row))


def _totals(row: UsageRow) -> dict[str, Any]:
    return {
        "jobs": row.jobs,
        "completed": row.succeeded,
        "failed": row.failed,
        "cancelled": row.canceled,
        "input_tokens": row.tokens_in,
        "output_tokens": row.tokens_out,
        "total_tokens": row.tokens_in + row.tokens_out,
        "estimated_jobs": row.estimated_jobs,
        "engine_seconds": row.engine_seconds,
    }


def _quota(headroom: Headroom) -> Quota:
    return Quota(
        plan=headroom.plan,
        held_until=None if headroom.held_until is None else _moment(headroom.held_until),
        windows=[_window(window) for window in headroom.windows],
    )


def _window(window: WindowHeadroom) -> QuotaWindow:
    return QuotaWindow(
        window=str(window.window),
        limit=window.limit,
        used=window.used,
        reserved=window.reserved,
        remaining=window.remaining,
        started_at=_moment(window.started_at),
        resets_at=_moment(window.resets_at),
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
