"""The post: what others are sent because a job changed. Facts and orders are kept until they arrive; who waits for an
answer is told once, and asks if they did not hear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gridloom_contract import subjects
from gridloom_contract.base import encode
from gridloom_domain.job import is_terminal
from gridloom_kit.outbox import Fact, Outbox
from gridloom_scheduler.claims import order_of
from gridloom_scheduler.outbox import fact_message
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.views import ending_view


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
    """Sends what follows from what is stored."""

    def __init__(self, outbox: Outbox, line: Line) -> None:
        self._outbox = outbox
        self._line = line

    def accepted(self, jobs: Iterable[JobRecord]) -> None:
        """Have it known that there are new jobs; that can wait."""
        self._outbox.post_later(fact_message(fact) for job in jobs for fact in job.events)

    def changed(self, changes: Sequence[Change], *, are_told: bool = False) -> None:
        """Send the facts of changes, orders for what was claimed, and answers to who waits for what has ended.

        Facts about a job that somebody waits for can wait once they are told: with `are_told` they know already.
        """
        soon, later = list[Fact](), list[Fact]()
        for change in changes:
            is_told = self._tell_end(change.after) or (are_told and change.after.waiter is not None)
            (later if is_told else soon).extend(map(fact_message, change.facts))
        self._outbox.post(soon, [order_of(change) for change in changes if is_claim(change)])
        if later:
            self._outbox.post_later(later)

    def _tell_end(self, job: JobRecord) -> bool:
        """Tell who waits for the job that it has ended. Returns whether that was to be told, and could be."""
        if job.waiter is None or not is_terminal(job.state):
            return False
        payload = encode(ending_view(job))
        if len(payload) > self._line.max_payload_bytes:
            return False
        self._line.send_soon(subjects.ended(job.waiter, job.id), payload)
        return True


def is_claim(change: Change) -> bool:
    """Whether the change gives a job to a worker, which then needs an order."""
    return change.before.lease is None and change.after.lease is not None
