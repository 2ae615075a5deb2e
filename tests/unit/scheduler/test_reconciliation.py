"""What an operator decides about a worker is believed as it was decided last, also while it is being read."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from gridloom_kit.clock import SystemClock
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Fleet, Terms
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.reconciliation import Reconciliation
from gridloom_scheduler.record import JobRecord, WorkerRecord
from unit.scheduler.records import NOW, WORKER

DRAINED = WorkerRecord(id=WORKER, name="box", shard=0, verifier="", created_at=NOW, draining=True)
RESUMED = replace(DRAINED, draining=False)


class Desk:
    """An operator who resumes a worker while what they decided before is being read, if they are `quick`."""

    def __init__(self, *, is_quick: bool) -> None:
        self.fleet = Fleet(SystemClock(), Terms())
        self.doorbell = Doorbell(self.fleet, lambda: None)
        self.stored = DRAINED
        self._is_quick = is_quick

    async def find(self, _worker: str) -> WorkerRecord:
        """Return what was stored when the question came."""
        found = self.stored
        if self._is_quick and found is DRAINED:
            self.decide(RESUMED)
        return found

    async def in_hand_of(self, _workers: Iterable[str]) -> list[JobRecord]:
        """Nobody has anything in hand."""
        return []

    def decide(self, record: WorkerRecord) -> None:
        """Store a decision, and have it looked at."""
        self.stored = record
        self.fleet.adopt(record)
        self.doorbell.look_again(WORKER)


async def is_draining_after_a_look(desk: Desk) -> list[bool]:
    """Return whether the worker counts as drained after one look, and after another."""
    reconciliation = Reconciliation(desk.fleet, desk, desk, Recall(None), desk.doorbell)  # type: ignore[arg-type]
    seat, seen = desk.fleet.adopt(DRAINED), list[bool]()
    desk.doorbell.look_again(WORKER)
    for _ in range(2):
        await reconciliation.asked_for()
        seen.append(seat.draining)
    return seen


async def test_a_worker_that_is_drained_counts_as_that() -> None:
    assert await is_draining_after_a_look(Desk(is_quick=False)) == [True, True]


async def test_a_worker_that_is_resumed_while_it_is_looked_at_never_counts_as_drained_again() -> None:
    assert await is_draining_after_a_look(Desk(is_quick=True)) == [False, False]
