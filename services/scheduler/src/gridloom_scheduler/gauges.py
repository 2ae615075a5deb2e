"""Figures that are read from MongoDB now and then, by one replica: depths of queues, the outbox, workers by state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from gridloom_kit.clock import Clock
from gridloom_scheduler import metrics
from gridloom_scheduler.catalogue import Catalogue
from gridloom_scheduler.census import SEEN_WITHIN_SECONDS
from gridloom_scheduler.record import WorkerRecord
from gridloom_scheduler.rules.fleet_views import state_of
from gridloom_scheduler.rules.routes import model_in

_MOST_COUNTED = 10_000


class Queues(Protocol):
    """What waits where."""

    async def all_routes_waiting(self) -> list[str]:
        """Return every route on which some job waits."""
        ...

    async def count_on(self, routes: Sequence[str]) -> int:
        """Return how many jobs wait on these routes."""
        ...


class Outbox(Protocol):
    """What is not known to be on the bus."""

    async def count_unpublished(self, limit: int) -> int:
        """Return how many jobs have such facts."""
        ...


class Workers(Protocol):
    """Where workers are kept."""

    async def all(self) -> list[WorkerRecord]:
        """Return every worker."""
        ...


class Gauges:
    """Sets the gauges that describe the whole grid. Only the replica that leads does; the others show nothing."""

    def __init__(self, queues: Queues, outbox: Outbox, workers: Workers, catalogue: Catalogue, clock: Clock) -> None:
        self._queues = queues
        self._outbox = outbox
        self._workers = workers
        self._catalogue = catalogue
        self._clock = clock

    async def measure(self, is_mine: Callable[[], bool]) -> None:
        """Measure once."""
        if not is_mine():
            return
        metrics.outbox_pending.set(await self._outbox.count_unpublished(_MOST_COUNTED))
        self._show_workers(await self._workers.all(), self._clock.now())
        await self._show_depths()

    def _show_workers(self, workers: Sequence[WorkerRecord], now: datetime) -> None:
        states = Counter(state_of(worker, now, SEEN_WITHIN_SECONDS) for worker in workers)
        for state in metrics.WORKER_STATES:
            metrics.workers.labels(state).set(states[state])

    async def _show_depths(self) -> None:
        depths: Counter[str] = Counter()
        for route in await self._queues.all_routes_waiting():
            depths[self._catalogue.label(model_in(route))] += await self._queues.count_on([route])
        metrics.queue_depth.clear()
        for model, depth in depths.items():
            metrics.queue_depth.labels(model).set(depth)
