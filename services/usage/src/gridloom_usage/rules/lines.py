"""The ledger: one line a job, with an entry for each time it ended. Entries are never changed, only added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from gridloom_contract.events import JobFinished
from gridloom_contract.vocabulary import State, Usage

_NOTHING = Usage(tokens_in=0, tokens_out=0)
_MICROSECONDS = 1_000_000
_MOST_TOKENS = 10**12
_MOST_ENGINE_SECONDS = 10.0**9

EndingKey = tuple[str, int]
"""Which ending of which job: `(job, seq)`."""


class BatchId(msgspec.Struct, frozen=True, order=True):
    """The `number`-th batch of one writer. A writer finishes a batch before it begins the next."""

    writer: str
    number: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ending of a job. `seq` is that of its `JobFinished`; `batch` is what brought it here, and alone counts it.

    Engine time is kept in whole microseconds, so that sums are exact in any order.
    """

    seq: int
    ended_at: datetime
    state: State
    tokens_in: int
    tokens_out: int
    estimated: bool
    engine_microseconds: int
    batch: BatchId
    worker: str | None = None
    served_model: str | None = None
    started_at: datetime | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"job": "_id"}):
    """One document of `ledger`: tokens and time of all its endings together, the rest as of the last one.

    `estimated` says that the tokens of at least one ending were not counted by an engine.
    """

    job: str
    account: str
    key: str
    model: str
    dialect: str
    state: State
    ended_at: datetime
    tokens_in: int
    tokens_out: int
    estimated: bool
    engine_microseconds: int
    entries: tuple[Entry, ...]
    tag: str | None = None
    worker: str | None = None
    served_model: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None


def key_of(fact: JobFinished) -> EndingKey:
    """Return which ending this is."""
    return fact.job, fact.seq


def unusable(fact: JobFinished) -> str | None:
    """Return why a fact cannot be counted, or None: numbers that no job has would spoil every sum they enter."""
    used = fact.usage or _NOTHING
    if not (0 <= used.tokens_in <= _MOST_TOKENS and 0 <= used.tokens_out <= _MOST_TOKENS):
        return f"job {fact.job} ended with {used.tokens_in} tokens in and {used.tokens_out} out"
    if not 0.0 <= (fact.engine_seconds or 0.0) <= _MOST_ENGINE_SECONDS:
        return f"job {fact.job} ended after {fact.engine_seconds} engine seconds"
    return None


def lines_of(facts: Iterable[JobFinished], batch: BatchId) -> list[Line]:
    """Return a line for each job, with the endings of these facts and no others. A fact may come twice."""
    by_job: dict[str, dict[int, JobFinished]] = {}
    for fact in facts:
        by_job.setdefault(fact.job, {})[fact.seq] = fact
    return [_line_of(list(endings.values()), batch) for endings in by_job.values()]


def merged(stored: Line, added: Line) -> Line | None:
    """Return the line with the endings of both; None if `stored` has all of them already, from whatever batch."""
    known = {entry.seq for entry in stored.entries}
    new = [entry for entry in added.entries if entry.seq not in known]
    return summed(stored, [*stored.entries, *new]) if new else None


def summed(line: Line, entries: Sequence[Entry]) -> Line:
    """Return `line` with these entries, and everything that follows from them."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.seq))
    last = ordered[-1]
    return msgspec.structs.replace(
        line,
        state=last.state,
        ended_at=last.ended_at,
        worker=last.worker,
        served_model=last.served_model,
        started_at=last.started_at,
        tokens_in=sum(entry.tokens_in for entry in ordered),
        tokens_out=sum(entry.tokens_out for entry in ordered),
        estimated=any(entry.estimated for entry in ordered),
        engine_microseconds=sum(entry.engine_microseconds for entry in ordered),
        entries=ordered,
    )


def counted_by(batch: BatchId, line: Line) -> set[EndingKey]:
    """Return the endings of the line that this batch counts."""
    return {(line.job, entry.seq) for entry in line.entries if entry.batch == batch}


def _line_of(endings: Sequence[JobFinished], batch: BatchId) -> Line:
    entries = sorted((_entry_of(fact, batch) for fact in endings), key=lambda entry: entry.seq)
    fact, last = endings[0], entries[-1]
    line = Line(
        job=fact.job,
        account=fact.account,
        key=fact.key,
        model=fact.model,
        dialect=fact.dialect,
        tag=fact.tag,
        created_at=fact.created_at,
        state=last.state,
        ended_at=last.ended_at,
        worker=last.worker,
        served_model=last.served_model,
        started_at=last.started_at,
        tokens_in=last.tokens_in,
        tokens_out=last.tokens_out,
        estimated=last.estimated,
        engine_microseconds=last.engine_microseconds,
        entries=(last,),
    )
    return line if len(entries) == 1 else summed(line, entries)


def _entry_of(fact: JobFinished, batch: BatchId) -> Entry:
    used = fact.usage or _NOTHING
    return Entry(
        seq=fact.seq,
        ended_at=fact.at,
        state=fact.state,
        tokens_in=used.tokens_in,
        tokens_out=used.tokens_out,
        estimated=used.estimated,
        engine_microseconds=round((fact.engine_seconds or 0.0) * _MICROSECONDS),
        batch=batch,
        worker=fact.worker,
        served_model=fact.served_model,
        started_at=fact.started_at,
    )
