"""Records as the scheduler keeps them. Each builder makes a complete one; a test names only what it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from gridloom_contract.vocabulary import Match, State
from gridloom_scheduler.record import JobRecord, Lease
from gridloom_scheduler.rules.changes import Moment
from gridloom_scheduler.rules.routes import route_of
from gridloom_testing.builders import a_job_id

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORKER = "waaaaaaaaaaaa"
TOKEN = "5" * 32
LEASE = Lease(worker=WORKER, token=TOKEN, session="s1")


def a_moment(at: datetime = NOW) -> Moment:
    """This moment, under some id."""
    return Moment(at, "f" * 32)


def a_record(**changes: Any) -> JobRecord:
    """A queued job, for example `a_record(priority=5)`; its route follows from its model."""
    usual: dict[str, Any] = {
        "id": a_job_id(),
        "account": "acc1",
        "key": "key1",
        "dialect": "native",
        "model": "llama:8b",
        "match": Match.EXACT,
        "family": "llama",
        "task": '{"prompt":"Say hello"}',
        "state": State.QUEUED,
        "created_at": NOW,
        "queued_at": NOW,
        "priority": 0,
        "lane": "normal",
        "fair": 0.0,
        "cost": 256.0,
        "seq": 1,
        "published": 0,
        "listed": True,
    }
    fields = usual | changes
    fields.setdefault("route", route_of(fields["match"], fields["model"], fields["family"], fields.get("node")))
    return JobRecord(**fields)


def a_claimed_record(**changes: Any) -> JobRecord:
    """A job in the hand of `WORKER`, not started yet."""
    usual: dict[str, Any] = {
        "state": State.CLAIMED,
        "attempt": 1,
        "lease": LEASE,
        "worker": WORKER,
        "served_model": "llama:8b",
        "claimed_at": NOW,
        "timeout_at": NOW,
        "seq": 2,
    }
    return a_record(**(usual | changes))


def a_running_record(**changes: Any) -> JobRecord:
    """A job that `WORKER` has started."""
    return a_claimed_record(**({"state": State.RUNNING, "started_at": NOW, "seq": 3} | changes))


@dataclass
class TestSeat:
    """A worker as placement sees it."""

    __test__ = False

    id: str = WORKER
    slots: int = 1
    patrons: frozenset[str] | None = None
    models: frozenset[str] = frozenset({"llama:8b"})
    loaded: frozenset[str] = frozenset({"llama:8b"})
    speeds: dict[str, float] = field(default_factory=dict)
    credit: int = 1

    @property
    def families(self) -> dict[str, tuple[str, ...]]:
        """Its models by the text before the colon."""
        found: dict[str, list[str]] = {}
        for model in sorted(self.models):
            found.setdefault(model.partition(":")[0], []).append(model)
        return {family: tuple(models) for family, models in found.items()}


def changed(record: JobRecord, **changes: Any) -> JobRecord:
    """The same job with other values."""
    return msgspec.structs.replace(record, **changes)
