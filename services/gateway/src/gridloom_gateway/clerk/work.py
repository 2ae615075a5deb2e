"""The work on one leased batch, from wherever it was left: inspect, hand in, wait, write down.

Ids are derived from the batch and the number of the line, so whatever is done again makes nothing new. Who has lost
the lease is told so with the next note, and stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from gridloom_contract.batches import Batch, BatchDone, BatchError, NoteBatch
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Job
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_domain.batch import MOST_LINES, living
from gridloom_domain.errors import Unavailable
from gridloom_domain.job import is_terminal
from gridloom_gateway.batches import Batches
from gridloom_gateway.clerk.language import Language, Result
from gridloom_gateway.clerk.lines import Line, portions
from gridloom_gateway.clerk.spent import Spent
from gridloom_gateway.clerk.writing import Results, stored
from gridloom_gateway.desk import Desk
from gridloom_gateway.frames import whole_text
from gridloom_gateway.library import Library, NewFile, is_missing
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

_HANDED_IN_AT_ONCE: Final = 256
_ASKED_AT_ONCE: Final = 64
_FETCHED_AT_ONCE: Final = 8
_CANCELED_FOR_SECONDS: Final = 2.0
"""At a time: between two times it is counted how many jobs are left, and the lease is renewed."""
_LATER: Final = frozenset({FaultCode.RATE_LIMITED, FaultCode.UNAVAILABLE, FaultCode.INTERNAL})
_PAUSE_SECONDS: Final = 1.0
_LONGEST_LOOK_SECONDS: Final = 10.0
_LINES_PER_LOOK_SECOND: Final = 5_000
"""Counting the jobs of large batches takes time, so it is done less often."""
_UPLOAD_SECONDS: Final = 600.0
_RENEWED_BEFORE: Final = 3.0
_ANSWERS, _ERRORS = 0, -1
"""What the ids of both files are derived from; lines count from 1."""


@dataclass(frozen=True)
class Tools:
    """What the work takes."""

    batches: Batches
    desk: Desk
    library: Library
    language: Language
    clock: Clock
    lease_seconds: float
    keep_seconds: float


class Work:
    """One batch, as long as it is leased."""

    def __init__(self, tools: Tools, batch: Batch, lease: str) -> None:
        self._tools = tools
        self._lease = lease
        self._renew_at = tools.clock.monotonic() + tools.lease_seconds / _RENEWED_BEFORE
        self._spent = Spent()
        self.batch = batch

    async def go_on(self) -> None:
        """Do what can be done now. Raises `FaultError`: whoever leases the batch next goes on."""
        if self.batch.submitted_at is not None and not self._is_canceled and living(self.batch.counts):
            await self._put_back()
            return
        with TemporaryDirectory(prefix="gridloom-batch-") as folder:
            try:
                path = await self._downloaded(Path(folder))
            except FaultError as error:
                if not is_missing(error):
                    raise
                await self._give_up()
                return
            if await self._is_inspected(path):
                await self._hand_in(path)
                await self._end(path)

    @property
    def _is_canceled(self) -> bool:
        return self.batch.cancel_requested_at is not None

    def _is_interrupted(self) -> bool:
        end = self.batch.expires_at
        return self._is_canceled or (end is not None and self._tools.clock.now() >= end)

    async def _note(self, seconds: float | None = None, **known: int | bool | str | None) -> None:
        tools, term = self._tools, seconds or self._tools.lease_seconds
        note = NoteBatch(batch=self.batch.batch, lease=self._lease, seconds=term)
        self._renew_at = tools.clock.monotonic() + term / _RENEWED_BEFORE
        self.batch = await tools.batches.note(msgspec.structs.replace(note, **known))

    async def _keep(self) -> None:
        """Renew the lease once a good part of it is over: each note counts all jobs of the batch."""
        if self._tools.clock.monotonic() >= self._renew_at:
            await self._note()

    async def _put_back(self) -> None:
        """Somebody looks at it again soon."""
        seconds = _PAUSE_SECONDS + (self.batch.total or 0) / _LINES_PER_LOOK_SECOND
        await self._note(min(seconds, _LONGEST_LOOK_SECONDS))

    async def _downloaded(self, folder: Path) -> Path:
        path, library = folder / "lines", self._tools.library
        entry = await library.get(self.batch.account, self.batch.input_file or "")
        with path.open("wb") as file:
            async with library.reading(entry) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                    await self._keep()
        return path

    async def _is_inspected(self, path: Path) -> bool:
        """Say whether the work can go on: all lines are well-formed, or nobody wants to know any more."""
        if self.batch.checked_at is not None or self._is_canceled:
            return True
        inspection = self._tools.language.inspection(self.batch)
        async for lines in portions(path, _HANDED_IN_AT_ONCE):
            await asyncio.to_thread(inspection.take, lines)
            await self._keep()
            if inspection.total > MOST_LINES:
                break
        errors = inspection.errors()
        if errors:
            await self._done(errors=errors)
            return False
        await self._note(total=inspection.total, model=inspection.model)
        return True

    async def _hand_in(self, path: Path) -> None:
        if self.batch.submitted_at is not None or self._is_interrupted():
            return
        async for lines in portions(path, _HANDED_IN_AT_ONCE, self.batch.lines_submitted):
            await self._hand_in_all(lines)
            if self._is_interrupted():
                return
            if lines:
                await self._note(lines_submitted=lines[-1].number)
        await self._note(is_submitted=True)

    async def _hand_in_all(self, lines: Sequence[Line]) -> None:
        """Hand in jobs until each is taken or refused for good, as fast as they are taken."""
        rest = list(lines)
        while rest:
            taken = await asyncio.gather(*map(self._is_settled, rest))
            rest = [line for line, is_settled in zip(rest, taken, strict=True) if not is_settled]
            if rest:
                await asyncio.sleep(_PAUSE_SECONDS)
                await self._note()
                if self._is_interrupted():
                    return

    async def _is_settled(self, line: Line) -> bool:
        try:
            await self._tools.desk.submit(self._tools.language.submission(self.batch, line))
        except FaultError as error:
            return error.fault.code not in _LATER
        return True

    async def _end(self, path: Path) -> None:
        await self._note()
        while self._is_canceled and living(self.batch.counts):
            await self._cancel()
            await self._keep()
        if living(self.batch.counts):
            await self._put_back()
        elif self.batch.checked_at is None:
            await self._done()
        else:
            await self._write_down(path)

    async def _cancel(self) -> None:
        self.batch = await self._tools.batches.cancel(self.batch.account, self.batch.batch, _CANCELED_FOR_SECONDS)

    async def _write_down(self, path: Path) -> None:
        await self._note(is_finalizing=True)
        results = Results(path.parent)
        with results:
            async for lines in portions(path, _ASKED_AT_ONCE):
                for few in await self._outcomes(lines):
                    await results.write(await asyncio.gather(*(self._result(*one) for one in few)))
                await self._keep()
        await self._note(_UPLOAD_SECONDS)
        await self._done(
            output_file=await stored(results.answers, self._storing(_ANSWERS, "output")),
            error_file=await stored(results.errors, self._storing(_ERRORS, "error")),
            usage=self._spent.total,
        )

    async def _outcomes(self, lines: Sequence[Line]) -> list[list[tuple[Line, Job | None]]]:
        """Return the lines with their jobs, a few at a time: what is elsewhere of those is fetched at once."""
        named = [(line, ids.derived(self.batch.batch, line.number)) for line in lines]
        jobs = await self._tools.desk.outputs(self.batch.account, [job for _, job in named])
        found = [(line, jobs.get(job)) for line, job in named]
        return [found[start : start + _FETCHED_AT_ONCE] for start in range(0, len(found), _FETCHED_AT_ONCE)]

    async def _result(self, line: Line, job: Job | None) -> Result:
        outcome = await (self._lost(line) if job is None else self._fetched(job))
        if isinstance(outcome, Job):
            self._spent.add(outcome.usage)
        return self._tools.language.result(self.batch, line, outcome)

    async def _lost(self, line: Line) -> FaultError:
        """Return why a line has no job."""
        desk = self._tools.desk
        if self._is_interrupted():
            return self._tools.language.interrupted(self.batch)
        try:
            await desk.submit(self._tools.language.submission(self.batch, line))
        except FaultError as error:
            if error.fault.code in _LATER:
                raise
            return error
        raise Unavailable("a line was taken later than the others")

    async def _fetched(self, job: Job) -> Job:
        if not is_terminal(job.state):
            raise Unavailable("a job of the batch runs again")
        if job.output_ref is None or job.state is not State.SUCCEEDED:
            return job
        async with self._tools.desk.text(job.output_ref) as pieces:
            return msgspec.structs.replace(job, output=await whole_text(pieces))

    def _storing(self, number: int, what: str) -> _Storing:
        wanted = NewFile(
            file=ids.derived(self.batch.batch, number),
            account=self.batch.account,
            name=f"batch_{ids.as_base32(self.batch.batch)}_{what}.jsonl",
            label=self._tools.language.result_label,
            keep_seconds=self._tools.language.keep_seconds(self.batch) or self._tools.keep_seconds,
            is_result=True,
        )
        return _Storing(self._tools.library, wanted)

    async def _give_up(self) -> None:
        """The file is gone: nothing can be written down any more."""
        while living(self.batch.counts):
            await self._cancel()
        await self._done(errors=(BatchError(code="file_not_found", message="the input file is not there any more"),))

    async def _done(self, **how: Any) -> None:
        self.batch = await self._tools.batches.done(BatchDone(batch=self.batch.batch, lease=self._lease, **how))
        log.info("batch.ended", batch=self.batch.batch, lines=self.batch.total, errors=len(self.batch.errors))


@dataclass(frozen=True)
class _Storing:
    library: Library
    wanted: NewFile

    async def __call__(self, path: Path) -> str:
        return (await self.library.store(self.wanted, path)).file
