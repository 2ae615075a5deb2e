"""Large outputs: workers get places for theirs, and what they then name as theirs is looked for.

A worker is a stranger. It gets a place only for a job it has in hand, and a ref counts only if the blob service says
that it was reserved for the output of that very job, and that all of it is there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from gridloom_contract.base import Message
from gridloom_contract.blobs import (
    ObjectReserved,
    ObjectsPresigned,
    PresignedObject,
    PresignObjects,
    Purpose,
    ReserveObject,
)
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.registry import PRESIGN_OBJECTS, RESERVE_OBJECT, Channel
from gridloom_contract.subjects import worker_in
from gridloom_contract.work import AskUpload, ResultReport, UploadSlot, WorkReport
from gridloom_domain.errors import Conflict, RateLimited
from gridloom_kit.log import get_logger
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.endings import StoredOutputs, holds

log = get_logger()

_LONGEST_REF = 128
_MOST_REFS = 500
_LOOK_SECONDS = 2.5
"""A worker waits three seconds for its receipt. What takes longer goes on, and is there when it asks again."""
_MOST_SLOTS = 16
_MOST_REMEMBERED = 10_000
_RETRY_SECONDS = 60.0


class Line(Protocol):
    """The way to the blob service."""

    async def request(
        self, channel: Channel, message: Message, *, subject: str | None = None, timeout_seconds: float = 5.0
    ) -> Any:
        """Return the answer. Raises `FaultError`."""
        ...


class Jobs(Protocol):
    """Where jobs are stored."""

    async def many(self, jobs: Collection[str]) -> dict[str, JobRecord]:
        """Return those of the jobs that exist, by id."""
        ...


class Outputs:
    """Places for large outputs, and whether they are filled."""

    def __init__(self, line: Line, jobs: Jobs, fleet: Fleet) -> None:
        self._line = line
        self._jobs = jobs
        self._fleet = fleet
        self._given: OrderedDict[str, int] = OrderedDict()

    async def on_ask(self, question: AskUpload, subject: str) -> UploadSlot:
        """Return where the holder of a job uploads its output.

        Raises `Conflict` if the asker does not hold it, `RateLimited` after many slots, `TooLarge`, `Unavailable`.
        """
        job = await self._held(question, worker_in(subject))
        if self._given.get(question.token, 0) >= _MOST_SLOTS:
            message = f"the attempt has had {_MOST_SLOTS} places for its output"
            raise RateLimited(message, retry_after_seconds=_RETRY_SECONDS)
        order = ReserveObject(account=job.account, job=job.id, purpose=Purpose.OUTPUT, size_bytes=question.size_bytes)
        reserved: ObjectReserved = await self._line.request(RESERVE_OBJECT, order)
        self._note(question.token)
        return UploadSlot(ref=reserved.ref, url=reserved.upload_url)

    async def look_for(self, report: WorkReport) -> StoredOutputs:
        """Return the size of each output that a report refers to and that is there; None where nobody can tell now."""
        named = {(result.job, result.output_ref or "") for result in report.results if _refers(result)}
        if not named:
            return {}
        refs = tuple(sorted({ref for _, ref in named}))[:_MOST_REFS]
        found = await self._found(refs)
        if found is None:
            return dict.fromkeys(named)
        sizes = {(job, ref): _size_for(job, found.get(ref)) for job, ref in named if ref in refs}
        late = {(job, ref): None for job, ref in named if ref not in refs}
        return {place: size for place, size in sizes.items() if size is not None} | late

    async def _held(self, question: AskUpload, worker: str) -> JobRecord:
        known = self._fleet.flight(worker, question.job)
        if known is not None and holds(known, worker, question):
            return known
        stored = (await self._jobs.many([question.job])).get(question.job)
        if stored is None or not holds(stored, worker, question):
            raise Conflict("this attempt is over")
        return stored

    def _note(self, token: str) -> None:
        self._given[token] = self._given.get(token, 0) + 1
        if len(self._given) > _MOST_REMEMBERED:
            self._given.popitem(last=False)

    async def _found(self, refs: tuple[str, ...]) -> Mapping[str, PresignedObject] | None:
        question = PresignObjects(refs=refs, verify=True)
        try:
            answer: ObjectsPresigned = await self._line.request(
                PRESIGN_OBJECTS, question, timeout_seconds=_LOOK_SECONDS
            )
        except FaultError as error:
            log.warning("outputs.unseen", objects=len(refs), code=str(error.fault.code), err=error.fault.message)
            return {} if error.fault.code is FaultCode.INVALID else None
        return {one.ref: one for one in answer.objects}


def _refers(result: ResultReport) -> bool:
    return result.output_ref is not None and len(result.output_ref) <= _LONGEST_REF


def _size_for(job: str, found: PresignedObject | None) -> int | None:
    if found is None or found.url is None or (found.job, found.purpose) != (job, Purpose.OUTPUT):
        return None
    return found.size_bytes
