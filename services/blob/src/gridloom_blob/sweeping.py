"""Looks at objects whose time has come: keeps what a job refers to, gives up the rest, deletes what is given up.

An object leaves the record only after it was deleted from the bucket when nobody could be writing it any more. What
cannot be decided now, because S3 or the scheduler does not answer, is decided later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gridloom_blob import metrics
from gridloom_blob.record import Blob, EndedJob, Phase
from gridloom_blob.rules import Attach, Doom, Terms, Wait, fate, has_expired, is_over
from gridloom_blob.sealing import Sealer
from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Job
from gridloom_domain.errors import Conflict
from gridloom_domain.job import is_terminal
from gridloom_kit.crash import point
from gridloom_kit.log import get_logger

log = get_logger()

_AT_ONCE = 32
_MOST_COUNTED = 10_000


class Due(Protocol):
    """Whose turn it is."""

    async def due(self, now: datetime, limit: int) -> list[Blob]:
        """Return objects whose time has come."""
        ...

    async def take(self, blob: Blob, until: datetime) -> Blob | None:
        """Be the one who looks at it."""
        ...

    async def postpone(self, blob: Blob, check_at: datetime) -> None:
        """Look at it again later."""
        ...

    async def count_due(self, now: datetime, most: int) -> int:
        """Return how many are overdue."""
        ...


class Blobs(Due, Protocol):
    """The record."""

    async def attach(self, blob: Blob, check_at: datetime) -> bool:
        """Its job refers to it."""
        ...

    async def drop_keys(self, blob: Blob, keys: Collection[str]) -> None:
        """Forget keys."""
        ...

    async def doom(self, blob: Blob, why: str, now: datetime) -> Blob | None:
        """Give it up."""
        ...

    async def remove(self, blob: Blob) -> None:
        """Forget it."""
        ...


class Bucket(Protocol):
    """S3."""

    async def delete(self, keys: Collection[str]) -> None:
        """Delete objects."""
        ...


class Jobs(Protocol):
    """The scheduler."""

    async def find(self, blob: Blob) -> Job | None:
        """Return an object's job."""
        ...


class Ended(Protocol):
    """Jobs that ended."""

    async def put(self, jobs: list[EndedJob]) -> list[None]:
        """Remember when jobs ended."""
        ...


@dataclass(frozen=True)
class World:
    """Everything a look at an object takes."""

    blobs: Blobs
    bucket: Bucket
    jobs: Jobs
    ended: Ended


class Sweeper:
    """Looks at each object in its time; several replicas share the work."""

    def __init__(self, world: World, sealer: Sealer, terms: Terms) -> None:
        self._world = world
        self._sealer = sealer
        self._terms = terms

    async def sweep(self, now: datetime) -> None:
        """Look at everything whose time has come."""
        blobs = self._world.blobs
        while due := await blobs.due(now, _AT_ONCE):
            taken = await asyncio.gather(*(blobs.take(blob, now + self._terms.settle) for blob in due))
            await asyncio.gather(*(self._look(blob, now) for blob in taken if blob is not None))
        metrics.orphans.set(await blobs.count_due(now, _MOST_COUNTED))

    async def _look(self, blob: Blob, now: datetime) -> None:
        """It is ours until the time to which `take` set it; if this fails, somebody looks at it after that."""
        try:
            await (self._erase(blob, now) if blob.phase is Phase.DOOMED else self._judge(blob, now))
        except FaultError as error:
            metrics.unjudged.inc()
            log.warning("blob.not_judged", blob=blob.id, job=blob.job, phase=str(blob.phase), err=str(error))

    async def _judge(self, blob: Blob, now: datetime) -> None:
        if has_expired(blob) or is_over(blob, now):
            await self._doom(blob, "expired", now)
            return
        if blob.expires_at is not None:
            await self._keep(blob, now)
            return
        job = await self._world.jobs.find(blob)
        match fate(blob, job):
            case Attach():
                await self._keep(blob, now)
            case Wait():
                await self._world.blobs.postpone(blob, now + self._terms.orphan)
            case Doom(why):
                await self._doom(blob, why, now)
        if job is not None:
            await self._remember_end(job)

    async def _remember_end(self, job: Job) -> None:
        """Normally it is known since the job ended; that fact may have been lost with a wiped stream."""
        if is_terminal(job.state) and job.ended_at is not None and not job.data_removed:
            await self._world.ended.put([EndedJob(job.job, job.account, job.ended_at)])

    async def _keep(self, blob: Blob, now: datetime) -> None:
        try:
            sealed = await self._sealer.sealed(blob)
        except Conflict:
            await self._doom(blob, "missing", now)
            return
        if now >= self._terms.uploads_end(sealed) and sealed.spare_keys:
            await self._world.bucket.delete(sealed.spare_keys)
            point("blob.spares_deleted")
            await self._world.blobs.drop_keys(sealed, sealed.spare_keys)
        next_check = self._terms.next_check(sealed, now)
        await self._world.blobs.attach(sealed, min(next_check, sealed.expires_at or next_check))

    async def _doom(self, blob: Blob, why: str, now: datetime) -> None:
        doomed = await self._world.blobs.doom(blob, why, now)
        if doomed is None:  # it was confirmed at this very moment, say
            return
        point("blob.doomed")
        metrics.swept.labels(why).inc()
        log.info("blob.given_up", blob=blob.id, job=blob.job, why=why)
        await self._erase(doomed, now)

    async def _erase(self, blob: Blob, now: datetime) -> None:
        await self._world.bucket.delete(blob.keys)
        point("blob.erased")
        last = self._terms.last_erasure(blob)
        if now < last:
            await self._world.blobs.postpone(blob, last)
        else:
            await self._world.blobs.remove(blob)
            point("blob.removed")
