"""A change of one job: what must still hold, what it becomes, the facts that say so. Stored as one compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

import msgspec

from gridloom_contract.events import JobEvent
from gridloom_contract.vocabulary import State
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.enclosures import NOTHING_ENCLOSED, Enclosures

IN_HAND = (State.CLAIMED, State.RUNNING)


class Ids(Protocol):
    """Chance as an argument."""

    def token(self) -> str:
        """Return 128 random bits as 32 hexadecimal digits."""
        ...


@dataclass(frozen=True)
class Moment:
    """When and under which id a change happens: the id is unique to the write and in all its facts."""

    at: datetime
    id: str


@dataclass(frozen=True)
class Change:
    """One change of `before`. `values` are fields of `JobRecord` (None = removed); `facts` continue its numbers.

    `before.seq` is the version the change was decided on, so it is stored only if nothing else happened meanwhile.
    `enclosures` go with the order of a claim and are not stored.
    """

    before: JobRecord
    values: Mapping[str, Any]
    facts: tuple[JobEvent, ...]
    enclosures: Enclosures = NOTHING_ENCLOSED

    @cached_property
    def after(self) -> JobRecord:
        """The job once the change is stored; `events` has only what `before` knew and the new facts."""
        defaults = {name: _DEFAULTS[name] for name, value in self.values.items() if value is None}
        seq = self.before.seq + len(self.facts)
        events = (*self.before.events, *self.facts)
        return msgspec.structs.replace(self.before, **{**self.values, **defaults, "seq": seq, "events": events})

    @property
    def frees_worker(self) -> str | None:
        """The worker whose slot the change frees, if it does."""
        lease = self.before.lease
        return lease.worker if lease is not None and self.after.lease is None else None


_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(JobRecord) if not field.required
}


class Facts:
    """Numbers the facts of one change. `attempt` is the one they speak of; None = the job's current one."""

    def __init__(self, job: JobRecord, moment: Moment, attempt: int | None = None) -> None:
        self._job = job
        self._moment = moment
        self._attempt = job.attempt if attempt is None else attempt
        self._stated: list[JobEvent] = []

    def state(self, kind: Callable[..., JobEvent], **content: Any) -> None:
        """Add one fact."""
        self._stated.append(
            kind(
                job=self._job.id,
                account=self._job.account,
                seq=self._job.seq + len(self._stated) + 1,
                at=self._moment.at,
                id=self._moment.id,
                attempt=self._attempt,
                **content,
            )
        )

    def change(self, **values: Any) -> Change:
        """Return the change with the facts stated so far."""
        values = {"unpublished_since": self._moment.at, **values}
        return Change(before=self._job, values=values, facts=tuple(self._stated))
