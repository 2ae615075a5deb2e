"""Examples of ended jobs, for all tests of usage accounting."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from gridloom_contract.events import JobFinished
from gridloom_contract.usage import Ending
from gridloom_contract.vocabulary import State, Usage
from gridloom_testing.builders import MODEL, a_job_id
from gridloom_usage.rules.rollups import Group, Sums

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def a_finish(**changes: Any) -> JobFinished:
    """A job that succeeded at noon with 3 tokens in and 2 out."""
    usual: dict[str, Any] = {
        "job": a_job_id(),
        "account": "acc1",
        "seq": 4,
        "at": NOON,
        "attempt": 1,
        "state": State.SUCCEEDED,
        "key": "key1",
        "model": MODEL,
        "dialect": "native",
        "worker": "wk3q5zt7m2abd",
        "served_model": MODEL,
        "usage": Usage(tokens_in=3, tokens_out=2),
        "engine_seconds": 0.1,
    }
    wanted = usual | changes
    timed = {"created_at": wanted["at"] - timedelta(seconds=2), "started_at": wanted["at"] - timedelta(seconds=1)}
    return JobFinished(**({"id": f"e{wanted['seq']}"} | timed | wanted))


def another_finish(first: JobFinished, **changes: Any) -> JobFinished:
    """The same job's next ending, an hour later, after a retry."""
    usual = {"job": first.job, "account": first.account, "tag": first.tag, "model": first.model, "key": first.key}
    return a_finish(
        **(
            usual
            | {"seq": first.seq + 5, "at": first.at + timedelta(hours=1), "created_at": first.created_at}
            | changes
        )
    )


def plain_sums(facts: Iterable[JobFinished]) -> dict[Group, Sums]:
    """Return the rollups as somebody who has never heard of lines and batches would add them up."""
    totals: dict[Group, Counter[str]] = defaultdict(Counter)
    for fact in {(fact.job, fact.seq): fact for fact in facts}.values():
        day = fact.at.astimezone(UTC).strftime("%Y-%m-%d")
        total = totals[Group(account=fact.account, day=day, tag=fact.tag, model=fact.model, key=fact.key)]
        used = fact.usage or Usage(tokens_in=0, tokens_out=0)
        total.update(jobs=1, tokens_in=used.tokens_in, tokens_out=used.tokens_out, estimated_jobs=int(used.estimated))
        total.update({str(fact.state): 1, "engine_microseconds": round((fact.engine_seconds or 0) * 1_000_000)})
    return {group: Sums(**total) for group, total in totals.items()}


def an_ending(*facts: JobFinished) -> Ending:
    """What the job's own document says after these facts."""
    last = max(facts, key=lambda fact: fact.seq)
    return Ending(
        job=last.job,
        account=last.account,
        seq=last.seq,
        state=last.state,
        ended_at=last.at,
        usage=last.usage,
        facts=tuple(sorted(facts, key=lambda fact: fact.seq)),
    )
