"""Taking jobs in: concurrent submissions share one request to the scheduler, and are offered again until it answers.

A job's id is made before the first try, so an offer repeated after a lost answer is accepted once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from gridloom_contract.blobs import Purpose
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import MAX_INLINE_BYTES, Acceptance, JobsSubmitted, Submission, SubmitJobs, Task
from gridloom_contract.registry import SUBMIT_JOBS, Channel
from gridloom_domain.errors import TooLarge, Unavailable
from gridloom_gateway import echoes
from gridloom_gateway.metrics import large_submissions, submit_batch_jobs, submit_retries
from gridloom_gateway.objects import Owner
from gridloom_kit.batch import GroupCommit
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_kit.transfer import Content, content_of

log = get_logger()

_MAX_JOBS = 256
_LANES = 2
"""Batches under way at once: one at the scheduler's database while the next one is on its way."""
_ENVELOPE_BYTES = 256
_LONGEST_WORD = 64
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 4.0
_RETRY_AFTER_SECONDS = 2.0

_encoder = msgspec.json.Encoder()


class Line(Protocol):
    """The bus, as far as it is needed here."""

    @property
    def max_payload_bytes(self) -> int:
        """The largest message."""
        ...

    async def request(self, channel: Channel, message: SubmitJobs, *, timeout_seconds: float) -> JobsSubmitted:
        """Return the scheduler's answer or raise `FaultError`."""
        ...


class Shelf(Protocol):
    """Where a task goes that is too large for the bus."""

    async def store(self, owner: Owner, purpose: Purpose, content: Content) -> str:
        """Return a ref to it once it is there. Raises `FaultError`."""
        ...


@dataclass(frozen=True, slots=True)
class _Offer:
    job: str
    encoded: msgspec.Raw
    due: float


class Intake:
    """An async context manager; `submit` works inside it."""

    def __init__(self, bus: Line, shelf: Shelf, clock: Clock, deadline_seconds: float) -> None:
        self._bus = bus
        self._shelf = shelf
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        room_bytes = bus.max_payload_bytes - _ENVELOPE_BYTES
        self._group: GroupCommit[_Offer, Acceptance] = GroupCommit(
            self._offer_all,
            max_items=_MAX_JOBS,
            lanes=_LANES,
            share=lambda offer: _bytes_of(offer) / room_bytes,
        )

    async def __aenter__(self) -> Intake:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._group.__aexit__(None, None, None)

    @property
    def max_job_bytes(self) -> int:
        """The largest encoded job that the bus carries."""
        return self._bus.max_payload_bytes - _ENVELOPE_BYTES

    async def submit(self, submission: Submission) -> Acceptance:
        """Return the acceptance of a job once it is recorded for good.

        Raises `TooLarge`; `Unavailable` if the scheduler did not answer in time (the job may exist all the same) or
        nothing large can be stored; or the fault with which the scheduler refused the job.
        """
        encoded = _encoder.encode(submission)
        if len(encoded) > MAX_INLINE_BYTES:
            del encoded  # megabytes, perhaps, and the upload takes its time
            submission = await self._with_echo_aside(await self._with_task_aside(submission))
            encoded = _encoder.encode(submission)
        if len(encoded) > self.max_job_bytes:
            raise TooLarge(f"the job has {len(encoded)} bytes, the limit is {self.max_job_bytes}")
        due = self._clock.monotonic() + self._deadline_seconds
        acceptance = await self._group.submit(_Offer(submission.job, msgspec.Raw(encoded), due))
        if acceptance.fault is not None:
            raise FaultError(acceptance.fault)
        return acceptance

    async def _with_task_aside(self, submission: Submission) -> Submission:
        """Return the submission with a reference to its task, if that is large."""
        content = _encoder.encode(submission.task)
        if len(content) <= MAX_INLINE_BYTES:
            return submission
        large_submissions.inc()
        owner = Owner(submission.account, submission.job)
        ref = await self._shelf.store(owner, Purpose.TASK, content_of(content))
        return msgspec.structs.replace(
            submission, task=without_texts(submission.task), task_ref=ref, task_bytes=len(content)
        )

    async def _with_echo_aside(self, submission: Submission) -> Submission:
        """Return the submission with a reference to its echo, if that is large."""
        content = _encoder.encode(submission.echo)
        if len(content) <= echoes.MAX_INLINE_BYTES:
            return submission
        ref = await self._shelf.store(Owner(submission.account, submission.job), Purpose.TASK, content_of(content))
        return msgspec.structs.replace(submission, echo=echoes.set_aside(ref))

    async def _offer_all(self, offers: list[_Offer]) -> list[Acceptance]:
        pause = _FIRST_PAUSE_SECONDS
        fates: dict[str, Acceptance] = {}
        open_offers: Sequence[_Offer] = offers
        while open_offers:
            try:
                answer = await self._ask(open_offers)
            except FaultError as error:
                if error.fault.code is not FaultCode.UNAVAILABLE:
                    raise
            else:
                fates |= {outcome.job: outcome for outcome in answer.outcomes}
                break
            submit_retries.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            open_offers = self._give_up_overdue(open_offers, fates)
        return [fates[offer.job] for offer in offers]

    async def _ask(self, offers: Sequence[_Offer]) -> JobsSubmitted:
        submit_batch_jobs.observe(len(offers))
        # Each job was encoded once, to be measured; its bytes go into the message as they are.
        jobs = cast(tuple[Submission, ...], tuple(offer.encoded for offer in offers))
        return await self._bus.request(SUBMIT_JOBS, SubmitJobs(jobs=jobs), timeout_seconds=_ANSWER_SECONDS)

    def _give_up_overdue(self, offers: Sequence[_Offer], fates: dict[str, Acceptance]) -> list[_Offer]:
        now = self._clock.monotonic()
        for offer in offers:
            if offer.due <= now:
                error = Unavailable("the grid did not take the job in time", retry_after_seconds=_RETRY_AFTER_SECONDS)
                fates[offer.job] = Acceptance(job=offer.job, fault=error.fault)
        return [offer for offer in offers if offer.due > now]


def without_texts(task: Task) -> Task:
    """Return what may be decided on before anybody reads the task: its kind, and parameters that are a word.

    A raw one stays recognizable as one.
    """
    return Task(kind=task.kind, params=_words(task.params), raw=None if task.raw is None else _words(task.raw))


def _words(params: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in params.items()
        if isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _LONGEST_WORD)
    }


def _bytes_of(offer: _Offer) -> int:
    return len(memoryview(offer.encoded)) + 1
