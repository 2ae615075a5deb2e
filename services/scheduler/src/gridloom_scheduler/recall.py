"""Recalling work: telling a worker to stop, and taking an order out of its stream before it is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from gridloom_contract import subjects
from gridloom_contract.base import Message
from gridloom_contract.streams import LANES, WORK_STREAMS
from gridloom_contract.vocabulary import State
from gridloom_contract.work import StopWork, WorkerControl
from gridloom_kit.jetstream import BusError, JetStreamApiError
from gridloom_kit.log import get_logger
from gridloom_scheduler.record import JobRecord

log = get_logger()

_AT_ONCE = 32


class Line(Protocol):
    """The way to workers and their streams."""

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands right now."""
        ...

    async def publish(self, subject: str, message: Message) -> None:
        """Send to whoever listens."""
        ...

    async def js_api(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream itself."""
        ...


class Recall:
    """Undoes the delivery of jobs. Best effort: a worker that does not hear it learns from its next report."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._places = asyncio.Semaphore(_AT_ONCE)

    @property
    def is_possible(self) -> bool:
        """Whether workers can be reached, and heard, right now."""
        return self._line.is_connected

    async def stop(self, jobs: Iterable[JobRecord], reason: str) -> None:
        """Have the workers of these jobs (as they were in hand) stop, and purge the orders nobody has started."""
        await asyncio.gather(*(self._stop(job, reason) for job in jobs if job.lease))

    async def tell(self, worker: str, job: str, attempt: int, reason: str) -> None:
        """Tell a worker to stop one attempt."""
        await self._line.publish(subjects.stop(worker), StopWork(job=job, attempt=attempt, reason=reason))

    async def control(self, worker: str, control: WorkerControl) -> None:
        """Tell a worker how to go on."""
        await self._line.publish(subjects.control(worker), control)

    async def purge(self, jobs: Iterable[JobRecord]) -> None:
        """Take the orders of these jobs out of their streams. Needed before a job may go to the same worker again."""
        await asyncio.gather(*(self._purge(job.lane, subjects.work_of_job(job.lane, job.id)) for job in jobs))

    async def purge_all_of(self, worker: str) -> None:
        """Take all orders of a worker out of the streams."""
        await asyncio.gather(*(self._purge(lane, subjects.work_of(lane, worker)) for lane in LANES))

    async def _stop(self, job: JobRecord, reason: str) -> None:
        if job.lease is None:
            return
        await self.tell(job.lease.worker, job.id, job.attempt, reason)
        if job.state is State.CLAIMED:
            await self._purge(job.lane, subjects.work_of_job(job.lane, job.id))

    async def _purge(self, lane: str, subject: str) -> None:
        try:
            async with self._places:
                await self._line.js_api(f"STREAM.PURGE.{WORK_STREAMS[lane]}", {"filter": subject})
        except (JetStreamApiError, BusError) as error:
            log.warning("orders.not_purged", lane=lane, err=str(error))
