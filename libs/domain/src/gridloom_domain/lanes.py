"""Lanes: the three queues a worker takes from in order. Within a lane the scheduler alone decides the order."""

from __future__ import annotations

from gridloom_contract.streams import LANES

HIGH, NORMAL, LOW = LANES


def lane_of(priority: int, *, sync: bool, batch: bool) -> str:
    """Return the lane of a job: somebody waits for it or it is urgent, nobody does, or neither.

    A synchronous job is on the high lane whatever its priority, because a connection is held open for it.
    """
    if sync:
        return HIGH
    if batch or priority < 0:
        return LOW
    return HIGH if priority > 0 else NORMAL
