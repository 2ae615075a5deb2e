"""Writes under way of which others know before the record does.

The order of a new job is on its way to the worker while the job is being stored, and who waits on the line for an
answer has it while the end is being stored: a journaled write takes as long as half of all else. Whoever asks for such
a job, or reports on it, waits for the write, so that nobody is told of an earlier state than they know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class UnderWay:
    """The jobs whose writes this replica has under way."""

    def __init__(self) -> None:
        self._writes: dict[str, asyncio.Future[None]] = {}

    @contextmanager
    def writing(self, jobs: Collection[str]) -> Iterator[None]:
        """Have whoever asks for these jobs wait until the block is left."""
        if not jobs:
            yield
            return
        done = asyncio.get_running_loop().create_future()
        self._writes.update(dict.fromkeys(jobs, done))
        try:
            yield
        finally:
            for job in jobs:
                if self._writes.get(job) is done:
                    del self._writes[job]
            done.set_result(None)

    async def settled(self, jobs: Iterable[str]) -> None:
        """Return once none of these jobs is being written."""
        if self._writes:
            while writes := {self._writes[job] for job in jobs if job in self._writes}:
                await asyncio.wait(writes)

    async def all_settled(self) -> None:
        """Return once what is being written now is stored."""
        if self._writes:
            await asyncio.wait(set(self._writes.values()))
