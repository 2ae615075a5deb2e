"""Enclosing: gets the URLs of files and large tasks for jobs that are about to be claimed, all in one question.

A job without any costs nothing here. While the blob service does not answer, jobs with some wait in the queue as they
are, and all others go past them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from gridloom_contract.base import Message
from gridloom_contract.blobs import ObjectsPresigned, PresignedObject, PresignObjects
from gridloom_contract.fault import FaultError
from gridloom_contract.registry import PRESIGN_OBJECTS, Channel
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_scheduler import metrics
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.enclosures import enclosures_of, has_enclosures, refs_of

log = get_logger()

_URL_SECONDS = 900
"""A worker fetches at once, unless its order waits behind a running job; then a new attempt gets new URLs."""
_PATIENCE_SECONDS = 10.0
"""The first question for an upload has it checked and copied. Nothing but these jobs waits for that."""
_PAUSE_SECONDS = 1.0
"""So long no job with enclosures is tried after the blob service did not answer; then one tries for all."""
_CLAIMS_AT_ONCE = 50
"""So many claims have fewer than the thousand refs that one question may have."""


class Line(Protocol):
    """The way to the blob service."""

    async def request(
        self, channel: Channel, message: Message, *, subject: str | None = None, timeout_seconds: float = 5.0
    ) -> Any:
        """Return the answer. Raises `FaultError`."""
        ...


@dataclass
class Enclosed:
    """Claims that can be stored, with their URLs, and those whose job can never be done: something of it is gone."""

    ready: list[Change] = field(default_factory=list)
    hopeless: list[Change] = field(default_factory=list)


class Enclosing:
    """Gets URLs. `under_way` are the jobs for which some are asked for right now."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._paused_until = float("-inf")
        self.is_doubtful = False
        """Whether the last question got no answer."""
        self.under_way: set[str] = set()

    @property
    def is_selective(self) -> bool:
        """Whether some waiting jobs must not be placed now."""
        return bool(self.under_way) or self._is_closed

    def may_go(self, job: JobRecord) -> bool:
        """Whether the job may be placed now."""
        return not has_enclosures(job) or not (self._is_closed or job.id in self.under_way)

    async def enclose(self, claims: Sequence[Change]) -> Enclosed:
        """Return what becomes of these claims; those that are in neither list wait until the blob service answers."""
        enclosed = Enclosed()
        for first in range(0, len(claims), _CLAIMS_AT_ONCE):
            some = claims[first : first + _CLAIMS_AT_ONCE]
            found = await self._presigned(some)
            if found is None:
                break
            for claim in some:
                enclosures = enclosures_of(claim.before, found)
                if enclosures is None:
                    enclosed.hopeless.append(claim)
                else:
                    enclosed.ready.append(replace(claim, enclosures=enclosures))
        return enclosed

    @property
    def _is_closed(self) -> bool:
        return self.is_doubtful and (bool(self.under_way) or self._clock.monotonic() < self._paused_until)

    async def _presigned(self, claims: Sequence[Change]) -> dict[str, PresignedObject] | None:
        """Return the objects by ref, or None if the blob service does not answer.

        After a failed attempt each must really be there: perhaps that was the failure. While S3 is down nobody can say,
        and no more attempts are wasted.
        """
        refs = tuple(ref for claim in claims for ref in refs_of(claim.before))
        verify = any(claim.before.failures for claim in claims)
        question = PresignObjects(refs=refs, seconds=_URL_SECONDS, verify=verify)
        try:
            answer: ObjectsPresigned = await self._line.request(
                PRESIGN_OBJECTS, question, timeout_seconds=_PATIENCE_SECONDS
            )
        except FaultError as error:
            self._paused_until, self.is_doubtful = self._clock.monotonic() + _PAUSE_SECONDS, True
            metrics.enclosing_failures.inc()
            log.warning("enclosures.put_off", objects=len(refs), err=str(error))
            return None
        self.is_doubtful = False
        return {one.ref: one for one in answer.objects}
