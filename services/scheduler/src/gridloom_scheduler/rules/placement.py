"""Placement: which worker gets a job. Pure; the seats are the workers of this replica that have credit now.

First the rules that forbid (the model, a pin, a private pool, a worker that already failed the job), then the
preferences: the account's own worker, one that has the model loaded, most free slots, most tokens per second.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gridloom_contract.vocabulary import Match
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.transitions import Placement


class Seat(Protocol):
    """What placement must know of a worker."""

    id: str
    slots: int
    patrons: frozenset[str] | None
    models: frozenset[str]
    families: Mapping[str, tuple[str, ...]]
    loaded: frozenset[str]
    speeds: Mapping[str, float]

    @property
    def credit(self) -> int:
        """How many more jobs it may be given now."""
        ...


def model_for(seat: Seat, job: JobRecord) -> str | None:
    """Return the model with which this worker would serve the job, or None if it may not or cannot."""
    if seat.patrons is not None and job.account not in seat.patrons:
        return None
    if job.node is not None and job.node != seat.id:
        return None
    if job.match is not Match.FAMILY:
        return job.model if job.model in seat.models else None
    offered = seat.families.get(job.family, ())
    return max(offered, key=lambda model: (model in seat.loaded, seat.speeds.get(model, 0.0), model), default=None)


def can_serve(seat: Seat, job: JobRecord) -> bool:
    """Whether this worker may be given the job at all."""
    return model_for(seat, job) is not None


_Rank = tuple[bool, bool, int, float]


class Board:
    """One round of placements: hands out the credit of the seats of each route, best seat first.

    Seats stand in a heap per route, made when the route is first asked for, so a job costs the logarithm of the seats.
    """

    def __init__(self, seats_of: Callable[[str], Iterable[Seat]], others_serve: Callable[[JobRecord], bool]) -> None:
        self._seats_of = seats_of
        self._others_serve = others_serve
        self._had: dict[str, int] = {}
        """The credit of each seat when it was first looked at: a claim takes from the seat itself, too."""
        self._taken: Counter[str] = Counter()
        self._heaps: dict[str, list[tuple[_Rank, str, Seat]]] = {}

    def place(self, job: JobRecord) -> Placement | None:
        """Choose a worker for the job and take one of its credits; None if there is none for it now."""
        heap = self._heap(job)
        passed_over, chosen = [], None
        while heap and chosen is None:
            rank, name, seat = heapq.heappop(heap)
            if self._credit(seat) <= 0:
                continue
            now = self._rank(seat, job)
            if now != rank:
                heapq.heappush(heap, (now, name, seat))
            elif self._suits(seat, job):
                chosen = seat
            else:
                passed_over.append((rank, name, seat))
        for entry in passed_over:
            heapq.heappush(heap, entry)
        return self._take(chosen, job, heap) if chosen else None

    def _heap(self, job: JobRecord) -> list[tuple[_Rank, str, Seat]]:
        if job.route not in self._heaps:
            seats = [(self._rank(seat, job), seat.id, seat) for seat in self._seats_of(job.route)]
            heapq.heapify(seats)
            self._heaps[job.route] = seats
        return self._heaps[job.route]

    def _suits(self, seat: Seat, job: JobRecord) -> bool:
        if seat.id in job.excluded and self._others_serve(job):
            return False
        return can_serve(seat, job)

    def _take(self, seat: Seat, job: JobRecord, heap: list[tuple[_Rank, str, Seat]]) -> Placement:
        model = model_for(seat, job) or job.model
        placement = Placement(seat.id, model, why_of(seat, job, model, self._credit(seat)))
        self._taken[seat.id] += 1
        heapq.heappush(heap, (self._rank(seat, job), seat.id, seat))
        return placement

    def _credit(self, seat: Seat) -> int:
        return self._had.setdefault(seat.id, seat.credit) - self._taken[seat.id]

    def _rank(self, seat: Seat, job: JobRecord) -> _Rank:
        """Smallest is best. The same for all jobs of a route, but for the model an exact one fixes."""
        model = job.model if job.match is not Match.FAMILY else None
        loaded = model in seat.loaded if model else any(m in seat.loaded for m in seat.families.get(job.family, ()))
        speed = seat.speeds.get(model, 0.0) if model else max(seat.speeds.values(), default=0.0)
        return (seat.patrons is None, not loaded, -self._credit(seat), -speed)


def why_of(seat: Seat, job: JobRecord, model: str, credit: int) -> str:
    """Say by which rule the worker was chosen, for the job's timeline."""
    reasons = [_match_reason(job)]
    if seat.patrons is not None:
        reasons.append("own worker")
    reasons.append("loaded" if model in seat.loaded else "not loaded")
    reasons.append(f"{min(credit, seat.slots)} of {seat.slots} slots free" if credit > 0 else "prefetched")
    if seat.speeds.get(model):
        reasons.append(f"{seat.speeds[model]:.0f} tokens/s")
    if seat.id in job.excluded:
        reasons.append("nobody else serves it")
    return ", ".join(reasons)


def _match_reason(job: JobRecord) -> str:
    if job.node is not None:
        return "pinned to it"
    return f"family {job.family}" if job.match is Match.FAMILY else "exact model"
