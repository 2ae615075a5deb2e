"""What the worker does with what it hears: orders, stops and controls."""

from __future__ import annotations

from typing import Protocol

from gridloom_contract.fault import Fault
from gridloom_contract.work import Offer, StopWork, WorkerControl, WorkOrder
from gridloom_kit.consume import Reject
from gridloom_kit.log import get_logger
from gridloom_worker import rules
from gridloom_worker.slots import Key, Slots, key_of

log = get_logger()


class Work(Protocol):
    """What can be done with an order."""

    def take(self, lane: str, order: WorkOrder) -> None:
        """Put it in line."""
        ...

    def stop(self, key: Key) -> None:
        """End it without a report."""
        ...

    def hand_back(self, order: WorkOrder, fault: Fault) -> None:
        """Return it untouched."""
        ...

    def hand_back_waiting(self, fault: Fault) -> None:
        """Return all that was not started."""
        ...


class Offering(Protocol):
    """What is served right now."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The models."""
        ...


class Introducing(Protocol):
    """Who says hello."""

    def introduce(self) -> None:
        """Say it again."""
        ...


class Handlers:
    """One method per message. Each returns at once: the lease, not the stream, brings back a job that is lost."""

    def __init__(self, worker: str, slots: Slots, work: Work, offering: Offering, presence: Introducing) -> None:
        self._worker = worker
        self._slots = slots
        self._work = work
        self._offering = offering
        self._presence = presence

    async def on_order(self, lane: str, order: WorkOrder) -> None:
        """Take the order, or hand it back; one that came before has its answer. Raises `Reject` for another worker's
        order, which is never run.
        """
        foreign = rules.why_not_mine(order, self._worker)
        if foreign is not None:
            raise Reject(foreign)
        if self._slots.knows(key_of(order)):
            log.info("order.duplicate", job=order.job, attempt=order.attempt)
            return
        fault = rules.why_hand_back(order, self._offering.offers, is_draining=self._slots.is_draining)
        if fault is not None:
            self._work.hand_back(order, fault)
        else:
            self._work.take(lane, order)

    async def on_stop(self, stop: StopWork) -> None:
        """End the attempt, free its slot, report nothing."""
        log.info("attempt.stop", job=stop.job, attempt=stop.attempt, reason=stop.reason)
        self._work.stop((stop.job, stop.attempt))

    async def on_control(self, control: WorkerControl) -> None:
        """Drain, resume, or say hello; an order of a later version is left alone."""
        log.info("worker.control", order=control.order)
        if control.order == "drain":
            self._slots.is_drained = True
            self._work.hand_back_waiting(rules.draining())
        elif control.order == "resume":
            self._slots.is_drained = False
        elif control.order == "hello":
            self._presence.introduce()
