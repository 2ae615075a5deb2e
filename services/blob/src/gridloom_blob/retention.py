"""Removes inputs and outputs of jobs that ended long ago: first from the job's document, then from the bucket.

In this order nobody is ever shown a job whose output cannot be had, and a job that was retried at the last moment keeps
everything: the scheduler decides, on the document itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gridloom_blob import metrics
from gridloom_contract.fault import FaultError
from gridloom_kit.crash import point
from gridloom_kit.log import get_logger

log = get_logger()

_AT_ONCE = 500


class Ended(Protocol):
    """Jobs that ended."""

    async def accounts(self) -> list[str]:
        """Return their accounts."""
        ...

    async def oldest_of(self, account: str, until: datetime, limit: int) -> list[str]:
        """Return an account's jobs that ended long ago."""
        ...

    async def forget(self, jobs: Collection[str], until: datetime) -> None:
        """Forget jobs."""
        ...


class Blobs(Protocol):
    """The record."""

    async def doom_those_of(self, jobs: Collection[str], why: str, now: datetime) -> int:
        """Give up all objects of jobs."""
        ...


class Retention:
    """Removes what is too old."""

    def __init__(
        self,
        ended: Ended,
        blobs: Blobs,
        purge: Callable[[Sequence[str], datetime], Awaitable[Collection[str]]],
        retention_of: Callable[[str], Awaitable[timedelta]],
    ) -> None:
        self._ended = ended
        self._blobs = blobs
        self._purge = purge
        self._retention_of = retention_of

    async def sweep(self, now: datetime) -> None:
        """Remove what is too old by the plan of its account. An account whose plan cannot be had waits."""
        for account in await self._ended.accounts():
            try:
                await self._sweep(account, now - await self._retention_of(account), now)
            except FaultError as error:
                log.warning("retention.put_off", account=account, err=str(error))

    async def _sweep(self, account: str, until: datetime, now: datetime) -> None:
        while jobs := await self._ended.oldest_of(account, until, _AT_ONCE):
            kept = await self._purge(jobs, until)
            point("blob.jobs_purged")
            gone = [job for job in jobs if job not in kept]
            objects = await self._blobs.doom_those_of(gone, "retention", now)
            point("blob.objects_doomed")
            await self._ended.forget(jobs, until)  # one that keeps its data tells of its next end
            metrics.swept.labels("retention").inc(objects)
            metrics.jobs_purged.inc(len(gone))
            log.info("retention.swept", account=account, jobs=len(gone), kept=len(kept), objects=objects)
