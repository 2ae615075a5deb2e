"""The reception: hears the workers of our shards say hello and that they are alive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from gridloom_contract import subjects
from gridloom_contract.work import Welcome, WorkerControl, WorkerHeartbeat, WorkerHello
from gridloom_domain.errors import Forbidden, Unavailable
from gridloom_kit.jetstream import BusError, JetStreamApiError
from gridloom_kit.log import get_logger
from gridloom_scheduler.catalogue import Catalogue, offered_by
from gridloom_scheduler.chance import Chance
from gridloom_scheduler.consumers import Consumers
from gridloom_scheduler.doorbell import Doorbell
from gridloom_scheduler.fleet import Seat
from gridloom_scheduler.recall import Line
from gridloom_scheduler.record import WorkerRecord
from gridloom_scheduler.rules.manners import believable, checked_hello

log = get_logger()

_HELLO_AGAIN_SECONDS = 1.0
_MOST_STRANGERS = 10_000


class Workers(Protocol):
    """Where workers are kept."""

    async def greet(self, worker: str, hello: WorkerHello, now: datetime) -> WorkerRecord | None:
        """Store what a worker says of itself; None if it may not work."""
        ...

    async def saw(self, sightings: Mapping[str, Mapping[str, Any]]) -> None:
        """Note when workers were last heard."""
        ...


class Greeter:
    """Asks workers to introduce themselves, each at most once a second."""

    def __init__(self, line: Line, chance: Chance) -> None:
        self._line = line
        self._chance = chance
        self._asked: dict[str, float] = {}

    async def ask(self, worker: str) -> None:
        """Ask for a hello, unless that was done a moment ago."""
        now = self._chance.clock.monotonic()
        if now - self._asked.get(worker, float("-inf")) < _HELLO_AGAIN_SECONDS:
            return
        if len(self._asked) >= _MOST_STRANGERS:
            self._asked.clear()
        self._asked[worker] = now
        await self._line.publish(subjects.control(worker), WorkerControl(order="hello"))


class Reception:
    """Answers hellos and takes heartbeats. Who speaks is in the subject, which the NATS server vouches for."""

    def __init__(
        self, workers: Workers, catalogue: Catalogue, consumers: Consumers, greeter: Greeter, doorbell: Doorbell
    ) -> None:
        self._workers = workers
        self._catalogue = catalogue
        self._consumers = consumers
        self.greeter = greeter
        self._doorbell = doorbell
        self.fleet = doorbell.fleet

    async def on_hello(self, hello: WorkerHello, subject: str) -> Welcome:
        """A worker introduces itself: its consumers exist when it is answered.

        Raises `Forbidden`, `Invalid`, or `Unavailable` while JetStream is on its way back.
        """
        worker = subjects.worker_in(subject)
        now = self.fleet.time_of_day()
        record = await self._workers.greet(worker, checked_hello(hello), now)
        if record is None:
            raise Forbidden(f"worker {worker} is unknown or revoked")
        await self._make_consumers(worker, hello)
        await self._catalogue.offer(offered_by(record, now))
        seat = self.fleet.adopt(record)
        self.fleet.introduce(seat, hello)
        self._doorbell.welcome(worker, seat.routes)
        log.info("worker.hello", worker=worker, slots=hello.slots, models=len(hello.offers), engine=hello.engine)
        terms = self.fleet.terms
        return Welcome(
            heartbeat_seconds=terms.heartbeat_seconds, lease_seconds=terms.lease_seconds, draining=seat.draining
        )

    async def _make_consumers(self, worker: str, hello: WorkerHello) -> None:
        try:
            await self._consumers.ensure(worker, {offer.model for offer in hello.offers})
        except (JetStreamApiError, BusError) as error:
            log.warning("worker.not_greeted", worker=worker, err=str(error))
            raise Unavailable("the worker's orders have no streams at the moment", retry_after_seconds=1.0) from error

    async def on_heartbeat(self, heartbeat: WorkerHeartbeat, subject: str, _headers: Mapping[str, str]) -> None:
        """A worker is alive; one we do not know, or not as this process, is asked to say hello."""
        worker = subjects.worker_in(subject)
        seat = self.fleet.get(worker)
        if seat is None or seat.session != heartbeat.session:
            await self.greeter.ask(worker)
            return
        before = seat.credit
        seat.hear(believable(heartbeat), self.fleet.now())
        if seat.has_doubts:
            self.fleet.doubt.set()
        if seat.credit > before:
            self._doorbell.nudge()

    async def note_sightings(self) -> None:
        """Write down, in one go, when our workers were last heard and how fast they are."""
        now = self.fleet.time_of_day()
        await self._workers.saw(
            {seat.id: {"last_seen_at": now, "speeds": seat.measured} for seat in self.fleet if self._was_heard(seat)}
        )

    def _was_heard(self, seat: Seat) -> bool:
        return seat.is_online and self.fleet.now() - seat.last_heard < self.fleet.terms.lease_seconds
