"""Rollups: totals by account, day, tag, model and key. All sums are whole numbers, so their order does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from gridloom_contract.vocabulary import State
from gridloom_usage.rules.lines import BatchId, EndingKey, Entry, Line


class Group(msgspec.Struct, frozen=True, order=False):
    """What a rollup is about. `day` is the UTC day of the ending, `YYYY-MM-DD`."""

    account: str
    day: str
    tag: str | None
    model: str
    key: str


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Totals over endings."""

    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    estimated_jobs: int = 0
    engine_microseconds: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in SUMMED})


SUMMED = Sums.__struct_fields__


class Rollup(msgspec.Struct, frozen=True, kw_only=True):
    """One document of `rollups`. `applied` has for each writer the number of its last batch that is in `sums`."""

    group: Group
    sums: Sums
    applied: Mapping[str, int] = {}

    def has(self, batch: BatchId) -> bool:
        """Whether the endings that this batch counts are in the sums."""
        return self.applied.get(batch.writer, -1) >= batch.number


def day_of(moment: datetime) -> str:
    """Return the UTC day of a moment, `YYYY-MM-DD`."""
    return moment.astimezone(UTC).date().isoformat()


def group_of(line: Line, entry: Entry) -> Group:
    """Return the rollup into which an ending goes."""
    return Group(account=line.account, day=day_of(entry.ended_at), tag=line.tag, model=line.model, key=line.key)


def sums_of(entry: Entry) -> Sums:
    """Return what one ending adds."""
    return Sums(
        jobs=1,
        succeeded=int(entry.state is State.SUCCEEDED),
        failed=int(entry.state is State.FAILED),
        canceled=int(entry.state is State.CANCELED),
        tokens_in=entry.tokens_in,
        tokens_out=entry.tokens_out,
        estimated_jobs=int(entry.estimated),
        engine_microseconds=entry.engine_microseconds,
    )


def increments(lines: Iterable[Line], counted: set[EndingKey]) -> dict[Group, Sums]:
    """Return by how much each rollup grows by the endings in `counted`."""
    found: dict[Group, Sums] = {}
    for line in lines:
        for entry in line.entries:
            if (line.job, entry.seq) in counted:
                group = group_of(line, entry)
                found[group] = found.get(group, Sums()) + sums_of(entry)
    return found
