"""Retirement: what a revocation ends, whichever replica looks after the worker, and what a drain says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from gridloom_contract.work import WorkerControl
from gridloom_kit.log import get_logger
from gridloom_scheduler.access import Bouncer
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.consumers import Consumers
from gridloom_scheduler.ledger import Ledger
from gridloom_scheduler.recall import Recall
from gridloom_scheduler.record import JobRecord, WorkerRecord
from gridloom_scheduler.rules import endings

log = get_logger()


class Jobs(Protocol):
    """The jobs in hand, as stored."""

    async def in_hand_of(self, workers: Iterable[str]) -> list[JobRecord]:
        """Return the claimed and running jobs of these workers."""
        ...

    async def count_in_hand(self) -> dict[str, int]:
        """Return how many jobs each worker has in hand."""
        ...


class Workers(Protocol):
    """Where workers are kept."""

    async def barred(self, workers: Collection[str]) -> set[str]:
        """Return those of the workers that may not work: revoked, or unknown."""
        ...


class HandBack:
    """Gives the jobs of workers that may not work any more to others."""

    def __init__(self, jobs: Jobs, workers: Workers, ledger: Ledger, recall: Recall, chance: Chance) -> None:
        self._jobs = jobs
        self._workers = workers
        self._ledger = ledger
        self._recall = recall
        self._chance = chance

    async def sweep(self, is_mine: Callable[[], bool]) -> None:
        """Find jobs that such workers still have: a claim may have crossed the revocation."""
        if is_mine():
            barred = await self._workers.barred((await self._jobs.count_in_hand()).keys())
            if barred:
                await self.take_back(barred)

    async def take_back(self, workers: Iterable[str]) -> None:
        """Queue their jobs again; nobody is blamed."""
        jobs = await self._jobs.in_hand_of(workers)
        won = await self._ledger.commit([endings.handed_back(job, self._chance.moment()) for job in jobs])
        await self._recall.stop([job for job, is_won in zip(jobs, won, strict=True) if is_won], "revoked")
        if jobs:
            log.info("worker.jobs_taken_back", jobs=len(jobs))


class Retirement:
    """Ends a worker's part in the grid, or pauses it."""

    def __init__(self, bouncer: Bouncer, consumers: Consumers, hand_back: HandBack, recall: Recall) -> None:
        self._bouncer = bouncer
        self._consumers = consumers
        self._hand_back = hand_back
        self._recall = recall

    async def retire(self, worker: WorkerRecord) -> None:
        """End what a revoked worker has: its connection, its consumers, its jobs. Safe to repeat."""
        await self._bouncer.kick(worker.connection)
        await self._consumers.remove(worker.id)
        await self._hand_back.take_back([worker.id])

    async def order(self, worker: str, control: WorkerControl) -> None:
        """Tell a worker to drain or to resume."""
        await self._recall.control(worker, control)
