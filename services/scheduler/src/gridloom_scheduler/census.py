"""The census: which workers are online on all replicas, read from MongoDB every other second, and for a list once more
if a worker has come since. For estimates and lists, and to know whether a job may wait for somebody who has not failed
it yet; never for assigning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_contract.vocabulary import Match
from gridloom_kit.clock import Clock
from gridloom_scheduler.record import JobRecord, WorkerRecord

SEEN_WITHIN_SECONDS = 15.0
"""Sightings are written every five seconds; three of them missing mean that nobody looks after the worker."""

_UNMEASURED_JOB_SECONDS = 5.0


class Sightings(Protocol):
    """Where workers are kept."""

    async def online_since(self, since: datetime) -> list[WorkerRecord]:
        """Return the workers that are online and were seen since then."""
        ...


class Census:
    """The workers online anywhere, a few seconds old."""

    def __init__(self, workers: Sightings, clock: Clock) -> None:
        self._store = workers
        self._clock = clock
        self._online: tuple[WorkerRecord, ...] = ()
        self._is_old = True
        self._reading = asyncio.Lock()

    def expire(self) -> None:
        """A worker has come, or something was decided about one."""
        self._is_old = True

    async def refresh(self) -> None:
        """Read it again."""
        async with self._reading:
            await self._read()

    async def catch_up(self) -> None:
        """Read it again if it is known to be old."""
        async with self._reading:
            if self._is_old:
                await self._read()

    async def _read(self) -> None:
        self._is_old = False  # what happens while it is read makes it old again
        since = self._clock.now() - timedelta(seconds=SEEN_WITHIN_SECONDS)
        self._online = tuple(await self._store.online_since(since))

    def workers_for(self, job: JobRecord) -> list[WorkerRecord]:
        """Return the online workers that may serve a job, busy or not."""
        return [worker for worker in self._online if not worker.draining and serves(worker, job)]

    def somebody_else_serves(self, job: JobRecord, but: Iterable[str]) -> bool:
        """Whether a worker that has not failed the job, and is none of `but`, may serve it."""
        spared = {*job.excluded, *but}
        return any(worker.id not in spared for worker in self.workers_for(job))

    def capacity_for(self, job: JobRecord) -> tuple[int, float]:
        """Return how many slots may serve a job and how many seconds one job takes there on average."""
        workers = self.workers_for(job)
        measured = [speed.job_seconds for worker in workers for speed in worker.speeds if speed.job_seconds > 0]
        mean = sum(measured) / len(measured) if measured else _UNMEASURED_JOB_SECONDS
        return sum(worker.slots for worker in workers), mean

    def of_model(self, model: str, account: str) -> list[WorkerRecord]:
        """Return the online workers that serve a model to an account, and are given new jobs."""
        return [
            worker
            for worker in self._online
            if not worker.draining and _admits(worker, account) and any(offer.model == model for offer in worker.offers)
        ]


def serves(worker: WorkerRecord, job: JobRecord) -> bool:
    """Whether a worker may serve a job at all."""
    if not _admits(worker, job.account) or (job.node is not None and job.node != worker.id):
        return False
    if job.match is Match.FAMILY:
        return any(offer.family == job.family for offer in worker.offers)
    return any(offer.model == job.model for offer in worker.offers)


def _admits(worker: WorkerRecord, account: str) -> bool:
    patrons = worker.patrons
    return patrons is None or account in patrons
