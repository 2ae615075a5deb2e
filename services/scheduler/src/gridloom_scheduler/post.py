"""The post: what others are sent because a job changed. Facts and orders are kept until they arrive; who waits for an
answer is told once, and asks if they did not hear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gridloom_contract import subjects
from gridloom_contract.base import encode
from gridloom_domain.job import is_terminal
from gridloom_kit.outbox import Outbox
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
        """Have it known that there are new jobs, once nothing else is to be."""
        self._outbox.post_when_idle(fact_message(fact) for job in jobs for fact in job.events)

    def changed(self, changes: Sequence[Change]) -> None:
        """Send the facts of changes, orders for what was claimed, and answers to who waits for what has ended."""
        for change in changes:
            if change.after.waiter is not None and is_terminal(change.after.state):
                self._tell(change.after.waiter, change.after)
        orders = [order_of(change) for change in changes if is_claim(change)]
        self._outbox.post((fact_message(fact) for change in changes for fact in change.facts), orders)

    def _tell(self, waiter: str, job: JobRecord) -> None:
        payload = encode(ending_view(job))
        if len(payload) <= self._line.max_payload_bytes:
            self._line.send_soon(subjects.ended(waiter, job.id), payload)


def is_claim(change: Change) -> bool:
    """Whether the change gives a job to a worker, which then needs an order."""
    return change.before.lease is None and change.after.lease is not None
