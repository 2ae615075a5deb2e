"""The workers of this replica's shards, in memory: what they offer, what they have in hand, when they were last heard.

Nothing here is the truth: it is loaded from MongoDB when a shard is taken and thrown away when it is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from gridloom_contract.base import Message
from gridloom_contract.vocabulary import State
from gridloom_contract.work import Holding, ModelSpeed, WorkerHeartbeat, WorkerHello, WorkOrder
from gridloom_kit.clock import Clock
from gridloom_scheduler import metrics
from gridloom_scheduler.record import JobRecord, WorkerRecord
from gridloom_scheduler.rules.routes import routes_of


@dataclass(frozen=True)
class Terms:
    """What workers are told and held to: how often they report, how long they may be silent, when they prefetch."""

    heartbeat_seconds: float = 1.0
    lease_seconds: float = 5.0
    prefetch_below_seconds: float = 1.0


@dataclass
class Flight:
    """A job in hand of one worker.

    `sure_at` is when its claim was known to be stored; until then the slot is only reserved. `seen_at` is when the
    worker last listed it, or could have: when its order was stored. Before that it is None. `doubted_at` is since when
    its order may be in no stream, and `is_unsent` says that JetStream did not take it.
    """

    job: JobRecord
    seen_at: float | None = None
    sure_at: float | None = None
    doubted_at: float | None = None
    is_unsent: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether its order may be in no stream, and the worker has not listed it since."""
        return self.doubted_at is not None and (self.seen_at is None or self.seen_at <= self.doubted_at)


@dataclass
class Seat:
    """One worker as this replica knows it. Times are monotonic seconds."""

    id: str
    shard: int
    patrons: frozenset[str] | None
    last_heard: float
    prefetch_below_seconds: float
    draining: bool = False
    session: str | None = None
    greeted_at: float = 0.0
    hello_asked_at: float = float("-inf")
    declines: bool = False
    """Wants nothing new: it said so, or has just refused an order. Its next heartbeat says how it is."""
    slots: int = 0
    models: frozenset[str] = frozenset()
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    routes: frozenset[str] = frozenset()
    loaded: frozenset[str] = frozenset()
    speeds: Mapping[str, float] = field(default_factory=dict)
    job_seconds: Mapping[str, float] = field(default_factory=dict)
    measured: tuple[ModelSpeed, ...] = ()
    flights: dict[str, Flight] = field(default_factory=dict)
    strays: frozenset[Holding] = frozenset()
    """Attempts the worker lists, twice now, that are not known here."""
    unknown: frozenset[Holding] = frozenset()
    has_doubts: bool = False
    """Whether the order of any flight was doubted lately."""
    counts_as_online: bool = False
    """What its document says: a silent worker has it set right."""

    @property
    def is_online(self) -> bool:
        """Whether the worker has introduced itself and was not silent for too long since."""
        return self.session is not None

    @property
    def takes_work(self) -> bool:
        """Whether the worker may be given anything new."""
        return self.is_online and not self.draining and not self.declines

    @property
    def credit(self) -> int:
        """How many more jobs it may be given now: its free slots, and one more where its jobs are short."""
        return self.free_slots + self._prefetch if self.takes_work else 0

    @property
    def free_slots(self) -> int:
        """How many more jobs it could start at once; below 0 while it has prefetched."""
        return self.slots - len(self.flights)

    @property
    def _prefetch(self) -> int:
        slowest = max(self.job_seconds.values(), default=0.0)
        return 1 if 0.0 < slowest < self.prefetch_below_seconds else 0

    def introduce(self, hello: WorkerHello, at: float) -> None:
        """Take over what the worker says of itself. Raises nothing: the handler has checked it."""
        self.session, self.slots, self.greeted_at, self.last_heard = hello.session, hello.slots, at, at
        self.counts_as_online = True
        self.models = frozenset(offer.model for offer in hello.offers)
        self.loaded = frozenset(offer.model for offer in hello.offers if offer.loaded)
        families: dict[str, list[str]] = {}
        for offer in hello.offers:
            families.setdefault(offer.family, []).append(offer.model)
        self.families = {family: tuple(models) for family, models in families.items()}
        self.declines = False

    def hear(self, heartbeat: WorkerHeartbeat, at: float) -> None:
        """Take over a heartbeat of the current session."""
        self.last_heard = at
        self.declines = heartbeat.draining
        self.loaded = frozenset(heartbeat.loaded) & self.models
        self.measured = tuple(speed for speed in heartbeat.speeds if speed.model in self.models)
        self.speeds = {speed.model: speed.tokens_per_second for speed in self.measured}
        self.job_seconds = {speed.model: speed.job_seconds for speed in self.measured if speed.job_seconds > 0}
        self._compare(heartbeat.holding, at)

    def _compare(self, holding: Sequence[Holding], at: float) -> None:
        unknown = set()
        for held in holding:
            flight = self.flights.get(held.job)
            if flight is not None and flight.job.attempt == held.attempt:
                flight.seen_at = at
            else:
                unknown.add(held)
        self.strays, self.unknown = self.unknown & unknown, frozenset(unknown)


class Fleet:
    """The seats of this replica, by id and by route."""

    def __init__(self, clock: Clock, terms: Terms) -> None:
        self.terms = terms
        self._clock = clock
        self._seats: dict[str, Seat] = {}
        self._by_route: dict[str, dict[str, Seat]] = {}
        self.doubt = asyncio.Event()
        """There may be orders to be sent again."""
        self.heard_from = float("-inf")
        """Since when workers can be heard: before that none was silent, and nothing was missing."""

    def __iter__(self) -> Iterator[Seat]:
        return iter(list(self._seats.values()))

    def now(self) -> float:
        """Return the monotonic seconds in which times of the fleet are written."""
        return self._clock.monotonic()

    def time_of_day(self) -> datetime:
        """Return the time as it is written into documents."""
        return self._clock.now()

    def get(self, worker: str) -> Seat | None:
        """Return the worker's seat, or None if another replica (or none) looks after it."""
        return self._seats.get(worker)

    def seats_on(self, route: str) -> list[Seat]:
        """Return the seats that could take a job of this route now."""
        return [seat for seat in self._by_route.get(route, {}).values() if seat.credit > 0]

    def has_credit(self, route: str) -> bool:
        """Whether some worker here could take a job of this route now."""
        return any(seat.credit > 0 for seat in self._by_route.get(route, {}).values())

    def serves(self, route: str) -> bool:
        """Whether any worker here, busy or not, takes from this route."""
        return any(seat.takes_work for seat in self._by_route.get(route, {}).values())

    def seats_of_route(self, route: str) -> Iterable[Seat]:
        """Return all seats of a route, those without credit too."""
        return self._by_route.get(route, {}).values()

    def adopt(self, worker: WorkerRecord) -> Seat:
        """Look after a worker from now on; one that is looked after already keeps its seat."""
        seat = self._seats.get(worker.id)
        if seat is None:
            now = self._clock.monotonic()
            seat = Seat(worker.id, worker.shard, worker.patrons, now, self.terms.prefetch_below_seconds)
            self._seats[worker.id] = seat
        seat.patrons, seat.draining, seat.counts_as_online = worker.patrons, worker.draining, worker.online
        return seat

    def introduce(self, seat: Seat, hello: WorkerHello) -> None:
        """Note a worker's hello and the routes it takes from."""
        self._leave_routes(seat)
        seat.introduce(hello, self._clock.monotonic())
        seat.routes = routes_of(seat.id, hello.offers)
        for route in seat.routes:
            self._by_route.setdefault(route, {})[seat.id] = seat

    def forget(self, worker: str) -> Seat | None:
        """Stop looking after a worker."""
        seat = self._seats.pop(worker, None)
        if seat is not None:
            self._leave_routes(seat)
        return seat

    def forget_shard(self, shard: int) -> None:
        """Stop looking after all workers of a shard."""
        for seat in [seat for seat in self._seats.values() if seat.shard == shard]:
            self.forget(seat.id)

    def reserve(self, job: JobRecord) -> None:
        """Take a slot of the job's worker for a claim that is about to be stored."""
        seat = self._seat_of(job)
        if seat is not None:
            seat.flights[job.id] = Flight(_slim(job))

    def order_went(self, order: Message, stored: bool) -> None:
        """Note that the order of a reserved slot is in its stream, or could not be put there."""
        if not isinstance(order, WorkOrder):
            raise TypeError(f"{type(order).__name__} is no order")
        metrics.orders_unsent.inc(0 if stored else 1)
        seat = self._seats.get(order.worker)
        flight = seat.flights.get(order.job) if seat else None
        if seat is None or flight is None or flight.job.attempt != order.attempt:
            return
        flight.is_unsent = not stored
        if stored:
            flight.seen_at, flight.doubted_at = self._clock.monotonic(), None
        else:
            flight.doubted_at = flight.doubted_at or self._clock.monotonic()
            seat.has_doubts = True
            self.doubt.set()

    def orders_vanished(self, lanes: Collection[str]) -> None:
        """Doubt all orders of these lanes that nobody has started: their streams have forgotten what they had."""
        now = self._clock.monotonic()
        for seat in self._seats.values():
            for flight in seat.flights.values():
                if flight.seen_at is not None and flight.job.state is State.CLAIMED and flight.job.lane in lanes:
                    flight.doubted_at, seat.has_doubts = now, True

    def board(self, job: JobRecord) -> None:
        """Note that the job's worker has it in hand, as it is stored now. Nothing happens if it is not ours."""
        seat = self._seat_of(job)
        if seat is None:
            return
        flight = seat.flights.get(job.id)
        if flight is None or flight.job.attempt != job.attempt:
            flight = seat.flights[job.id] = self._found(seat, job)
        flight.job = _slim(job)
        flight.sure_at = flight.sure_at or self._clock.monotonic()
        if flight.is_unsent:
            self.doubt.set()

    def land(self, job: JobRecord) -> Seat | None:
        """Note that the job's worker does not have this attempt any more. Returns its seat if we look after it."""
        seat = self._seat_of(job)
        flight = seat.flights.get(job.id) if seat else None
        if seat is not None and flight is not None and flight.job.attempt == job.attempt:
            del seat.flights[job.id]
        return seat

    def flight(self, worker: str, job: str) -> JobRecord | None:
        """Return the job as last stored, if a worker of ours surely has it in hand."""
        seat = self._seats.get(worker)
        flight = seat.flights.get(job) if seat else None
        return flight.job if flight and flight.sure_at is not None else None

    def _found(self, seat: Seat, job: JobRecord) -> Flight:
        """Return the flight of a job that the database, and not we, gave to the worker: who knows about its order?"""
        now = self._clock.monotonic()
        is_waiting = job.state is State.CLAIMED
        seat.has_doubts = seat.has_doubts or is_waiting
        return Flight(_slim(job), seen_at=now, doubted_at=now if is_waiting else None)

    def _seat_of(self, job: JobRecord) -> Seat | None:
        return self._seats.get(job.lease.worker) if job.lease else None

    def _leave_routes(self, seat: Seat) -> None:
        for route in seat.routes:
            here = self._by_route.get(route, {})
            here.pop(seat.id, None)
            if not here:
                self._by_route.pop(route, None)
        seat.routes = frozenset()


def _slim(job: JobRecord) -> JobRecord:
    """Return the job without its texts: what is needed to judge reports on it."""
    return msgspec.structs.replace(job, task="{}", echo="{}", output=None, events=())
