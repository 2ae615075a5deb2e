"""Where jobs, ledger and rollups contradict each other, in sentences. An empty list is a proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from gridloom_contract.usage import Ending
from gridloom_usage.rules.lines import BatchId, Entry, Line, lines_of, summed
from gridloom_usage.rules.rollups import SUMMED, Group, Rollup, Sums

MOST_TOLD = 500

_NOBODY = BatchId("", 0)
_OF_THE_JOB = ("account", "key", "model", "dialect", "tag", "created_at")
_OF_AN_ENDING = tuple(name for name in Entry.__struct_fields__ if name not in {"seq", "batch"})
_MILLISECOND = timedelta(milliseconds=1)


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one batch counts in one rollup, by the ledger."""

    group: Group
    batch: BatchId
    sums: Sums


def told(differences: Sequence[str]) -> tuple[str, ...]:
    """Return the differences as they go into a report: the first ones, and how many there are beside."""
    beyond = len(differences) - MOST_TOLD
    return (*differences[:MOST_TOLD], *((f"and {beyond} more",) if beyond > 0 else ()))


def of_ledger(endings: Iterable[Ending], lines: Iterable[Line], settled_until: datetime) -> list[str]:
    """Compare jobs with their lines, in order of the job. What ended after `settled_until` may still be on its way."""
    ended = {ending.job: ending for ending in endings}
    written = {line.job: line for line in lines}
    found: list[str] = []
    for job in sorted(ended.keys() | written.keys()):
        found += _of_job(ended.get(job), written.get(job), settled_until)
    return found


def _of_job(ending: Ending | None, line: Line | None, settled_until: datetime) -> list[str]:
    facts = ending.facts if ending else ()
    due = {entry.seq for each in lines_of(facts, _NOBODY) for entry in each.entries if entry.ended_at <= settled_until}
    if line is None:
        return [f"job {facts[0].job}: its ending {seq} is not in the ledger" for seq in sorted(due)]
    if not facts:
        is_old = line.ended_at <= settled_until
        return [f"job {line.job}: the ledger has a line, but no job says that it ended"] if is_old else []
    (expected,) = lines_of(facts, _NOBODY)
    return _of_line(expected, line) + _of_entries(expected, line, settled_until)


def _of_line(expected: Line, line: Line) -> list[str]:
    found = [
        f"job {line.job}: the ledger has {name} {_said(getattr(line, name))}, the job {_said(getattr(expected, name))}"
        for name in _OF_THE_JOB
        if not _is_same(getattr(line, name), getattr(expected, name))
    ]
    if summed(line, line.entries) != line:
        found.append(f"job {line.job}: its line in the ledger is not the sum of its endings")
    return found


def _of_entries(expected: Line, line: Line, settled_until: datetime) -> list[str]:
    theirs = {entry.seq: entry for entry in expected.entries}
    ours = {entry.seq: entry for entry in line.entries}
    found: list[str] = []
    for seq in sorted(theirs.keys() | ours.keys()):
        if seq in theirs and seq in ours:
            found += _of_ending(line.job, ours[seq], theirs[seq])
        elif seq in theirs and theirs[seq].ended_at <= settled_until:
            found.append(f"job {line.job}: its ending {seq} is not in the ledger")
        elif seq in ours and ours[seq].ended_at <= settled_until:
            found.append(f"job {line.job}: the ledger has an ending {seq} that the job does not have")
    return found


def _of_ending(job: str, ours: Entry, theirs: Entry) -> list[str]:
    return [
        f"job {job}, ending {ours.seq}: the ledger has {name} {_said(getattr(ours, name))},"
        f" the job {_said(getattr(theirs, name))}"
        for name in _OF_AN_ENDING
        if not _is_same(getattr(ours, name), getattr(theirs, name))
    ]


def _said(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "none" if value is None else str(value)


def _is_same(ours: object, theirs: object) -> bool:
    """Times are kept in milliseconds."""
    if isinstance(ours, datetime) and isinstance(theirs, datetime):
        return abs(ours - theirs) < _MILLISECOND
    return ours == theirs


class Recount:
    """An account's rollups computed anew. Of the ledger, each counts just the batches that it says to have.

    `late` is what the ledger has and no rollup says to have: it is being written, or it was forgotten.
    """

    def __init__(self, rollups: Mapping[Group, Rollup]) -> None:
        self.late: list[Share] = []
        self._rollups = rollups
        self._expected: dict[Group, Sums] = {}

    def add(self, share: Share) -> None:
        """Take one share of the ledger."""
        if is_applied(self._rollups, share):
            self._expected[share.group] = self._expected.get(share.group, Sums()) + share.sums
        else:
            self.late.append(share)

    def differences(self) -> list[str]:
        """Return where rollups are not what was taken, in order of their groups."""
        found: list[str] = []
        for group in sorted(self._rollups, key=_order):
            found += _of_sums(group, self._rollups[group].sums, self._expected.get(group, Sums()))
        return found


def is_applied(rollups: Mapping[Group, Rollup], share: Share) -> bool:
    """Whether its rollup says to have a share."""
    return share.group in rollups and rollups[share.group].has(share.batch)


def _of_sums(group: Group, rollup: Sums, ledger: Sums) -> list[str]:
    return [
        f"{_named(group)}: the rollup has {name} {getattr(rollup, name)}, the ledger {getattr(ledger, name)}"
        for name in SUMMED
        if getattr(rollup, name) != getattr(ledger, name)
    ]


def of_forgotten(shares: Iterable[Share]) -> list[str]:
    """Tell what stands in the ledger, in no rollup, and in no open batch."""
    return [
        f"{_named(share.group)}: the rollup lacks {share.sums.jobs} jobs of batch {share.batch.number} of"
        f" {share.batch.writer}"
        for share in sorted(shares, key=lambda share: (_order(share.group), share.batch))
    ]


def _order(group: Group) -> tuple[str, str, str, str, str]:
    return group.account, group.day, group.tag or "", group.model, group.key


def _named(group: Group) -> str:
    tag = f"tag {group.tag!r}" if group.tag is not None else "no tag"
    return f"account {group.account}, {group.day}, {tag}, model {group.model!r}, key {group.key}"
