"""The doorbell: notes on which routes jobs may wait, and tells the assigner here and, by `Wake`, other replicas.

It rings for workers, too: who comes, or is decided about, is news to every replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from gridloom_contract.base import Message
from gridloom_contract.fleet import Wake
from gridloom_contract.subjects import SCHEDULER_WAKE
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.rules.routes import worker_in, worker_route

_ANNOUNCE_SECONDS = 0.02
"""Announcements this close together become one."""
_MOST_ROUTES = 500


class Publisher(Protocol):
    """How other replicas are told."""

    async def publish(self, subject: str, message: Message) -> None:
        """Send to whoever listens."""
        ...


class Doorbell:
    """Routes of our workers on which jobs may wait (`waiting`), and what other replicas should look at.

    A route leaves `waiting` for `looking` while the assigner looks at its queue, and is in neither only when that found
    nothing left there: then its queue is empty, as far as this replica can know. `on_news` hears of news of workers.
    """

    def __init__(self, fleet: Fleet, on_news: Callable[[], None]) -> None:
        self.fleet = fleet
        self._on_news = on_news
        self.waiting: set[str] = set()
        self.looking: set[str] = set()
        self.recheck: set[str] = set()
        self.rung = asyncio.Event()
        self._to_announce: set[str] = set()
        self._announcing = asyncio.Event()

    def may_wait_on(self, route: str) -> bool:
        """Whether jobs may wait on a route: where we serve nobody, nobody here would know."""
        return route in self.waiting or route in self.looking or not self.fleet.serves(route)

    def may_wait_on_any(self, routes: Iterable[str]) -> bool:
        """Whether a job that comes now on one of these routes we serve may have others before it."""
        return not (self.waiting.isdisjoint(routes) and self.looking.isdisjoint(routes))

    @contextmanager
    def look(self, routes: Collection[str]) -> Iterator[None]:
        """Look at these routes for the time of the block. Whoever adds a job meanwhile notes its route again."""
        self.looking.update(routes)
        self.waiting.difference_update(routes)
        try:
            yield
        finally:
            self.looking.clear()

    def ring(self, routes: Collection[str]) -> None:
        """Jobs may wait on these routes."""
        self.look_at(routes)
        self.announce(route for route in routes if not self.fleet.has_credit(route))

    def look_at(self, routes: Collection[str]) -> None:
        """Have the assigner look at those of the routes that our workers serve."""
        ours = {route for route in routes if self.fleet.serves(route)}
        if ours:
            self.waiting |= ours
            self.rung.set()

    def nudge(self) -> None:
        """A worker of ours has a free slot again."""
        if self.waiting:
            self.rung.set()

    def welcome(self, worker: str, routes: Collection[str]) -> None:
        """A worker of ours has come that takes from these routes."""
        self.look_at(routes)
        self.tell_of(worker)

    def tell_of(self, worker: str) -> None:
        """A worker of ours has come or gone."""
        self._on_news()
        self.announce([worker_route(worker)])

    def look_again(self, worker: str) -> None:
        """Something was decided about this worker or its jobs: whoever looks after it reads them again."""
        self._on_news()
        if self.fleet.get(worker) is not None:
            self.recheck.add(worker)
        else:
            self.announce([worker_route(worker)])

    def announce(self, routes: Iterable[str]) -> None:
        """Tell other replicas soon."""
        self._to_announce.update(routes)
        if self._to_announce:
            self._announcing.set()

    async def hear(self, wake: Wake) -> None:
        """Another replica announced routes."""
        workers = {worker for route in wake.routes if (worker := worker_in(route))}
        if workers:
            self._on_news()
        self.recheck |= {worker for worker in workers if self.fleet.get(worker)}
        self.look_at(wake.routes)

    async def announce_to(self, publisher: Publisher, is_alone: Callable[[], bool], stop: asyncio.Event) -> None:
        """Announce until told to stop; while this replica is alone there is nobody to tell."""
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(stop.wait())
            stopping.add_done_callback(lambda _: self._announcing.set())
            while not stop.is_set():
                await self._announcing.wait()
                self._announcing.clear()
                routes, self._to_announce = sorted(self._to_announce), set()
                if routes and not is_alone():
                    await publisher.publish(SCHEDULER_WAKE, Wake(routes=tuple(routes[:_MOST_ROUTES])))
                    await asyncio.sleep(_ANNOUNCE_SECONDS)
