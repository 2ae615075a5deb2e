"""What the worker has in hand: orders waiting in lane order, attempts running in slots, results not yet confirmed."""

from __future__ import annotations

from collections import OrderedDict, deque

from gridloom_contract.streams import LANES
from gridloom_contract.work import Holding, WorkOrder

Key = tuple[str, int]
"""A job and the number of its attempt."""

_REMEMBERED = 4096
_MOST_LARGE = 64
"""So many large outputs may wait for their upload: they are what fills the disk."""


def key_of(order: WorkOrder) -> Key:
    """Return what identifies the attempt an order asks for."""
    return (order.job, order.attempt)


class Slots:
    """The accounting of one worker. An attempt is waiting, running or unconfirmed, and in one place only.

    While `max_unconfirmed` results wait for their receipt, or 64 large ones, nothing new is started: that bounds the
    spool.
    """

    def __init__(self, count: int, max_unconfirmed: int = 256) -> None:
        self.count = count
        self.is_drained = False
        self.is_stopping = False
        self._max_unconfirmed = max(max_unconfirmed, count)
        self._waiting: dict[str, deque[WorkOrder]] = {lane: deque() for lane in LANES}
        self._running: dict[Key, WorkOrder] = {}
        self._unconfirmed: set[Key] = set()
        self._large: set[Key] = set()
        self._known: set[Key] = set()
        self._past: OrderedDict[Key, None] = OrderedDict()

    @property
    def is_draining(self) -> bool:
        """Whether nothing new is taken: an operator wants it so, or the worker stops."""
        return self.is_drained or self.is_stopping

    @property
    def running(self) -> int:
        """How many attempts an engine works on."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many orders wait for a slot."""
        return sum(len(lane) for lane in self._waiting.values())

    @property
    def unconfirmed(self) -> int:
        """How many results wait for their receipt."""
        return len(self._unconfirmed)

    @property
    def free(self) -> int:
        """How many more orders could start at once; none while draining."""
        return 0 if self.is_draining else max(0, self.count - self.running - self.waiting)

    @property
    def _is_full(self) -> bool:
        return self.unconfirmed >= self._max_unconfirmed or len(self._large) >= max(_MOST_LARGE, self.count)

    def admit(self, lane: str, order: WorkOrder) -> bool:
        """Put an order at the end of its lane; False if this attempt is in hand or was."""
        key = key_of(order)
        if self.knows(key):
            return False
        self._known.add(key)
        self._waiting[lane].append(order)
        return True

    def knows(self, key: Key) -> bool:
        """Whether this attempt is in hand, or was."""
        return key in self._known or key in self._past

    def older_attempts(self, order: WorkOrder) -> list[int]:
        """Return the earlier attempts of the same job that are waiting or running here: their lease is over."""
        here = [*self._running.values(), *(waiting for lane in self._waiting.values() for waiting in lane)]
        return [other.attempt for other in here if other.job == order.job and other.attempt < order.attempt]

    def start_next(self) -> WorkOrder | None:
        """Give the next order in lane order a slot and return it; None if there is no order or no slot."""
        if self.running >= self.count or self._is_full:
            return None
        for lane in self._waiting.values():
            if lane:
                order = lane.popleft()
                self._running[key_of(order)] = order
                return order
        return None

    def end(self, key: Key) -> None:
        """Free the slot of a running attempt; it is unconfirmed from now on."""
        del self._running[key]
        self._unconfirmed.add(key)

    def note_parcel(self, key: Key, *, is_large: bool) -> None:
        """Note how much an unconfirmed result takes."""
        if is_large:
            self._large.add(key)

    def remember(self, key: Key) -> None:
        """Count a result of an earlier life of this worker as unconfirmed."""
        self._known.add(key)
        self._unconfirmed.add(key)

    def forget(self, key: Key) -> None:
        """Let go of an attempt for good; an order for it that is delivered late is a duplicate."""
        self._running.pop(key, None)
        self._unconfirmed.discard(key)
        self._large.discard(key)
        self._known.discard(key)
        self._past[key] = None
        if len(self._past) > _REMEMBERED:
            self._past.popitem(last=False)

    def withdraw(self, key: Key) -> bool:
        """Take a waiting order out and let go of it; False if it was not waiting."""
        for lane in self._waiting.values():
            for order in lane:
                if key_of(order) == key:
                    lane.remove(order)
                    self.forget(key)
                    return True
        return False

    def withdraw_all(self) -> list[WorkOrder]:
        """Take all waiting orders out. They stay in hand as unconfirmed until they are forgotten."""
        orders = [order for lane in self._waiting.values() for order in lane]
        for lane in self._waiting.values():
            lane.clear()
        self._unconfirmed.update(key_of(order) for order in orders)
        return orders

    def holding(self) -> tuple[Holding, ...]:
        """Return everything in hand, as heartbeats tell it."""
        return tuple(Holding(job=job, attempt=attempt) for job, attempt in sorted(self._known))
