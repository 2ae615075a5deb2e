"""The post: what others are sent because a job changed. Facts and orders are kept until they arrive; who waits for an
answer is told once, and asks if they did not hear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from gridloom_contract import subjects
from gridloom_contract.base import encode
from gridloom_domain.job import is_terminal
from gridloom_kit.outbox import SOON_SECONDS, Fact, Outbox
from gridloom_scheduler.claims import order_of
from gridloom_scheduler.followed import Followed
from gridloom_scheduler.outbox import fact_message
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.views import ending_view

_PATIENCE_SECONDS = 0.25
"""Facts about a job wait so long for company if who waits for it is told without them."""
_TURNS_TO_SEND = 2
"""So many turns of the loop later what was sent is on the line: whoever sends it takes one, and the client another."""


class Line(Protocol):
    """The way to whoever listens."""

    @property
    def max_payload_bytes(self) -> int:
        """The largest message."""
        ...

    def send_soon(self, subject: str, payload: bytes) -> None:
        """Send without waiting for anyone, and without being waited for."""
        ...


class Post:
    """Sends what follows from what is stored, or is being stored. With `foretells` who waits on the line for a job is
    told its end while that is being stored.
    """

    def __init__(self, outbox: Outbox, line: Line, followed: Followed, *, foretells: bool = False) -> None:
        self._outbox = outbox
        self._line = line
        self._followed = followed
        self._foretells = foretells

    def order(self, claims: Sequence[Change]) -> None:
        """Send the orders of claims."""
        self._outbox.post((), [order_of(claim) for claim in claims])

    def accepted(self, jobs: Iterable[JobRecord], decided: Sequence[Change]) -> None:
        """Have it known that there are new jobs, and what was decided on some at once: who waits is told with that."""
        for job in jobs:
            patience_seconds = SOON_SECONDS if job.waiter is None else _PATIENCE_SECONDS
            self._outbox.post_later(map(fact_message, job.events), patience_seconds)
        self._send(decided, {change.before.id for change in decided if change.after.waiter is not None})

    async def foretell(self, changes: Sequence[Change]) -> frozenset[str]:
        """Tell who waits how their jobs end, before that is stored. Returns the jobs of whose end somebody was told.

        Whoever may have only so many jobs at once hears it when there is room for their next one.
        """
        if not self._foretells:
            return frozenset()
        free = (change for change in changes if change.before.berth is None)
        told = frozenset(change.before.id for change in free if self._tell_end(change.after))
        for _ in range(_TURNS_TO_SEND if told else 0):
            await asyncio.sleep(0)
        return told

    def changed(self, changes: Sequence[Change], foretold: Collection[str] = ()) -> None:
        """Send the facts of changes, orders for what was claimed, and answers to who waits for what has ended.

        Facts about a job that somebody waits for can wait once they are told, and those of lines of batches in any
        case: when thousands end at once, they must not stand before the order of a chat.
        """
        told = {change.before.id for change in changes if change.before.id in foretold or self._tell_end(change.after)}
        for change in changes:
            self._tell_followers(change.after)
        self.order([change for change in changes if is_claim(change)])
        self._send(changes, told)

    def _send(self, changes: Sequence[Change], told: Collection[str]) -> None:
        soon = list[Fact]()
        for change in changes:
            facts = map(fact_message, change.facts)
            if change.before.id in told:
                self._outbox.post_later(facts, _PATIENCE_SECONDS)
            elif change.after.batch:
                self._outbox.post_later(facts)
            else:
                soon.extend(facts)
        self._outbox.post(soon)

    def _tell_end(self, job: JobRecord) -> bool:
        """Tell who waits for the job that it has ended. Returns whether that was to be told, and could be."""
        return job.waiter is not None and is_terminal(job.state) and self._tell({job.waiter}, job)

    def _tell_followers(self, job: JobRecord) -> None:
        """Tell who follows the job, and has said so here, that it has ended. Others only hear the facts."""
        gateways = self._followed.take(job.id) if is_terminal(job.state) else ()
        if gateways:
            self._tell(gateways, job)

    def _tell(self, gateways: Collection[str], job: JobRecord) -> bool:
        payload = encode(ending_view(job))
        if len(payload) > self._line.max_payload_bytes:
            return False
        for gateway in gateways:
            self._line.send_soon(subjects.ended(gateway, job.id), payload)
        return True


def is_claim(change: Change) -> bool:
    """Whether the change gives a job to a worker, which then needs an order."""
    return change.before.lease is None and change.after.lease is not None
