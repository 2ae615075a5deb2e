"""Turns: routes that share workers take turns, as accounts do within a route.

Fair times of two routes cannot be compared, so whoever has free slots asks the routes in turn; priority comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gridloom_scheduler.record import JobRecord


class Turns:
    """How many jobs each route was given lately; a route that comes back starts level with the others."""

    def __init__(self) -> None:
        self._taken: dict[str, float] = {}

    def order(self, waiting: Mapping[str, Sequence[JobRecord]]) -> list[JobRecord]:
        """Merge the jobs of several routes, each already in its own order, into the order in which to place them."""
        level = self._level(waiting)
        ranked = [
            ((-job.priority, self._taken.get(route, level) + rank, job.id), job)
            for route, jobs in waiting.items()
            for rank, job in enumerate(jobs)
        ]
        return [job for _, job in sorted(ranked, key=lambda entry: entry[0])]

    def took(self, route: str, among: Iterable[str]) -> None:
        """Note that a job of `route` was placed while jobs waited on the routes `among`; all others are forgotten."""
        level = self._level(among)
        self._taken = {other: self._taken.get(other, level) for other in {*among, route}}
        self._taken[route] += 1.0

    def _level(self, routes: Iterable[str]) -> float:
        return min((self._taken[route] for route in routes if route in self._taken), default=0.0)
