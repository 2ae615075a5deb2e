"""Intermediate events: best effort, at most one request a job in half a second, the latest state wins.

Never after the job's end, never repeated, and never in the way: without a free slot for its receiver, one is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gridloom_contract.fault import FaultError
from gridloom_contract.webhooks import Attempt
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_webhook import metrics
from gridloom_webhook.lanes import Board, Slot
from gridloom_webhook.post import Post
from gridloom_webhook.record import Delivery, Leave, Subscription, event_id, lane_of
from gridloom_webhook.rules import PROGRESS_SECONDS
from gridloom_webhook.sender import Patience

log = get_logger()


@dataclass(frozen=True)
class Note:
    """Something happened to a job under way: fact `seq`, at `at`."""

    subscription: Subscription
    event: str
    seq: int
    at: datetime


class Permits(Protocol):
    """Who may send an intermediate event now, over all replicas."""

    async def may_progress(self, job: str, seq: int, now: datetime) -> Leave:
        """Take the right to send one about fact `seq`."""
        ...

    async def progressed(self, job: str, now: datetime) -> None:
        """One has arrived: the next one keeps its distance from now."""
        ...


@dataclass(frozen=True)
class Means:
    """What it takes to speak about a job: its document, its owner's signature, leave to do it, and the log."""

    render: Callable[[Subscription], Awaitable[bytes]]
    vibe: Callable[[Subscription, bytes], str | None]
    permits: Permits
    keep: Callable[[Delivery, Attempt], Awaitable[None]]


class Progress:
    """Speaks about jobs under way, one request at a time for each."""

    def __init__(self, means: Means, post: Post, board: Board, patience: Patience, clock: Clock) -> None:
        self._means = means
        self._post = post
        self._board = board
        self._patience = patience
        self._clock = clock
        self._waiting: dict[str, Note] = {}
        self._speaking: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop; what is not sent by then never is."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await stop.wait()
            self._tasks = None
            for speaking in self._speaking.values():
                speaking.cancel()

    def note(self, note: Note) -> None:
        """Tell the receiver soon; an earlier note about the same job that still waits is overtaken."""
        job = note.subscription.job
        if self._waiting.pop(job, None):
            metrics.throttled.inc()
        if self._tasks is None:
            return
        self._waiting[job] = note
        if job not in self._speaking:
            self._speaking[job] = self._tasks.create_task(self._speak(job))

    async def end(self, job: str) -> None:
        """Say no more about this job; returns once nothing about it is under way here."""
        self._waiting.pop(job, None)
        speaking = self._speaking.get(job)
        if speaking:
            speaking.cancel()
            await asyncio.wait({speaking})

    async def _speak(self, job: str) -> None:
        """Send what waits, and stay for one pause after each answer, so that the next note keeps its distance."""
        try:
            while note := self._waiting.pop(job, None):
                if not await self._tell(note):
                    self._waiting.setdefault(job, note)
                await asyncio.sleep(PROGRESS_SECONDS)
        finally:
            self._speaking.pop(job, None)

    async def _tell(self, note: Note) -> bool:
        """Send one note, or leave it out. False: another replica has just spoken of the job, so try again later."""
        subscription = note.subscription
        slot = self._board.reserve(lane_of(subscription.account, subscription.url), self._clock.now())
        if slot is None:
            metrics.throttled.inc()
            return True
        try:
            return await self._send(note, slot)
        except (FaultError, DatabaseError) as error:
            log.info("progress.left_out", job=subscription.job, err=str(error))
        except Exception:
            log.exception("progress.failed", job=subscription.job)
        finally:
            self._board.release(slot)
        return True

    async def _send(self, note: Note, slot: Slot) -> bool:
        job = note.subscription.job
        body = await self._means.render(note.subscription)
        leave = await self._means.permits.may_progress(job, note.seq, self._clock.now())
        if leave is not Leave.GIVEN:
            metrics.throttled.inc(leave is Leave.NEVER)
            return leave is Leave.NEVER
        delivery = _delivery(note, body, self._means.vibe(note.subscription, body))
        sent = await self._post.send(delivery, self._patience)
        self._board.learn(slot, sent.answer, self._clock.now())
        await self._means.permits.progressed(job, self._clock.now())
        await self._means.keep(delivery, sent.attempt)
        return True


def _delivery(note: Note, body: bytes, vibe: str | None) -> Delivery:
    subscription = note.subscription
    return Delivery(
        id=event_id(subscription.job, note.seq),
        job=subscription.job,
        account=subscription.account,
        event=note.event,
        url=subscription.url,
        body=body,
        occurred_at=note.at,
        created_at=note.at,
        next_at=None,
        vibe=vibe,
        traceparent=subscription.traceparent,
    )
