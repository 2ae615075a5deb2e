"""Turns: routes that share workers take turns, as accounts do within a route.

Fair times of two routes cannot be compared, so whoever has free slots asks the routes in turn; priority comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gridloom_scheduler.record import JobRecord


class Turns:
    """How many jobs each route was given lately; a route that comes back starts level with the others."""

    def __init__(self) -> None:
        self._taken: dict[str, float] = {}

    def order(self, waiting: Mapping[str, Sequence[JobRecord]]) -> list[JobRecord]:
        """Merge the jobs of several routes, each already in its own order, into the order in which to place them."""
        level = min((self._taken.get(route, 0.0) for route in waiting), default=0.0)
        ranked = [
            ((-job.priority, max(self._taken.get(route, 0.0), level) + rank, job.id), job)
            for route, jobs in waiting.items()
            for rank, job in enumerate(jobs)
        ]
        return [job for _, job in sorted(ranked, key=lambda entry: entry[0])]

    def took(self, route: str, among: Mapping[str, Sequence[JobRecord]]) -> None:
        """Note that a job of `route` was placed while jobs of `among` waited."""
        level = min((self._taken.get(other, 0.0) for other in among), default=0.0)
        self._taken = {other: self._taken.get(other, level) for other in {*among, route}}
        self._taken[route] = max(self._taken[route], level) + 1.0
