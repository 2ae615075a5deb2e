"""Who may be called next: lanes of deliveries, their caps and circuit breakers, and fairness among accounts.

A lane is one account and one origin. Pure but for what it remembers: times are arguments. `Board` hands out slots; a
slot is given back with what it brought.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush

from gridloom_webhook.record import account_of
from gridloom_webhook.rules import Answer, hold_seconds

_SUSPECT_SHARE = 0.75
"""How much of everything may be spent on receivers that have not shown to be well."""


@dataclass(frozen=True)
class Caps:
    """How much may be under way at a time, and when a breaker opens."""

    in_flight: int
    per_account: int
    per_lane: int
    breaker_failures: int
    breaker_seconds: float
    breaker_most_seconds: float


@dataclass
class Lane:
    """One account and origin. `due` is when the first delivery that is not under way is to be sent, if one is known."""

    key: str
    account: str
    running: int = 0
    due: datetime | None = None
    planned_at: datetime | None = None
    is_queued: bool = False
    is_proven: bool = False
    """Whether its last request was answered: until then it gets one request at a time."""
    failures: int = 0
    opens_at: datetime | None = None
    """Nothing is sent before; after it one probe, until one succeeds."""

    def room(self, now: datetime, caps: Caps) -> int:
        """Return how many requests more may be sent to it now."""
        if self.opens_at and now < self.opens_at:
            return 0
        return (caps.per_lane if self.is_proven else 1) - self.running

    def answered(self) -> None:
        """Close the breaker."""
        self.is_proven, self.failures, self.opens_at = True, 0, None

    def failed(self, now: datetime, caps: Caps, hold_seconds: float) -> None:
        """Count a failure; after a few in a row, or if the receiver asks for it, leave it alone for a while."""
        self.is_proven = False
        self.failures += 1
        pause = min(hold_seconds, caps.breaker_most_seconds)
        if self.failures >= caps.breaker_failures:
            doublings = min(self.failures - caps.breaker_failures, 16)
            pause = max(pause, min(caps.breaker_seconds * 2**doublings, caps.breaker_most_seconds))
        if pause:
            self.opens_at = max(self.opens_at or now, now + timedelta(seconds=pause))


@dataclass(frozen=True)
class Slot:
    """The right to have one request under way. `was_proven` as the lane was when it was taken."""

    lane: Lane
    was_proven: bool


class FairQueue:
    """Lanes that wait for a slot, one account after the other."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, deque[Lane]] = OrderedDict()

    def put(self, lane: Lane) -> None:
        """Queue a lane behind the others of its account."""
        self._accounts.setdefault(lane.account, deque()).append(lane)

    def take(self, may: Callable[[str], bool]) -> Lane | None:
        """Return the next lane of the account whose turn it is, leaving out those that `may` refuses."""
        account = next((name for name in self._accounts if may(name)), None)
        if account is None:
            return None
        lanes = self._accounts.pop(account)
        lane = lanes.popleft()
        if lanes:
            self._accounts[account] = lanes
        return lane


@dataclass
class Board:
    """All lanes with something to send, and the slots in use."""

    caps: Caps
    lanes: dict[str, Lane] = field(default_factory=dict)
    running: int = 0
    _suspects: int = 0
    _of_account: Counter[str] = field(default_factory=Counter)
    _later: list[tuple[datetime, str]] = field(default_factory=list)
    _proven: FairQueue = field(default_factory=FairQueue)
    _unproven: FairQueue = field(default_factory=FairQueue)

    def note(self, key: str, due: datetime) -> None:
        """Something in this lane is due at `due`."""
        lane = self._lane(key)
        if lane.due is None or due < lane.due:
            lane.due = due
            self._plan(lane)

    def next_change(self) -> datetime | None:
        """Return when a lane becomes due next; None if no time will change anything."""
        return self._later[0][0] if self._later else None

    def pick(self, now: datetime) -> list[Slot]:
        """Take slots for the lane whose turn it is; none if nothing may be sent now.

        The lane then counts as empty: whoever serves it notes what is left.
        """
        self._promote(now)
        while lane := self._next_lane():
            lane.is_queued = False
            room = min(lane.room(now, self.caps), self._room_of(lane.account))
            if room > 0:
                lane.due = None
                return [self._occupy(lane) for _ in range(room)]
            if lane.opens_at and lane.opens_at > now:
                self._plan(lane)
        return []

    def reserve(self, key: str, now: datetime) -> Slot | None:
        """Take one slot at once for something that is not worth waiting; None if there is none, or others wait."""
        lane = self._lane(key)
        is_busy = lane.due is not None and lane.due <= now
        if is_busy or lane.room(now, self.caps) < 1 or self._room_of(lane.account) < 1:
            return None
        return self._occupy(lane) if lane.is_proven or self._may_suspect() else None

    def release(self, slot: Slot) -> None:
        """Give a slot back."""
        slot.lane.running -= 1
        self.running -= 1
        self._of_account[slot.lane.account] -= 1
        self._suspects -= 0 if slot.was_proven else 1
        self._plan(slot.lane)

    def learn(self, slot: Slot, answer: Answer, now: datetime) -> None:
        """Take into account how a request to the slot's lane ended."""
        if answer.is_alive:
            slot.lane.answered()
        else:
            slot.lane.failed(now, self.caps, hold_seconds(answer))

    def forget_idle(self, now: datetime) -> None:
        """Forget lanes with nothing to do and nothing held against them."""
        for key, lane in list(self.lanes.items()):
            if not (lane.running or lane.is_queued or lane.due or (lane.opens_at and lane.opens_at > now)):
                del self.lanes[key]
        self._of_account = +self._of_account

    def _lane(self, key: str) -> Lane:
        return self.lanes.setdefault(key, Lane(key, account_of(key)))

    def _plan(self, lane: Lane) -> None:
        """Have the lane queued when it is due, or when its breaker lets a probe through. At most once for each time."""
        if lane.due is None or lane.is_queued:
            return
        moment = max(lane.due, lane.opens_at or lane.due)
        if lane.planned_at is None or moment < lane.planned_at:
            lane.planned_at = moment
            heappush(self._later, (moment, lane.key))

    def _promote(self, now: datetime) -> None:
        while self._later and self._later[0][0] <= now:
            moment, key = heappop(self._later)
            lane = self.lanes.get(key)
            if lane is None or lane.planned_at != moment:
                continue
            lane.planned_at = None
            if lane.due is None or lane.is_queued:
                continue
            if max(lane.due, lane.opens_at or lane.due) > now:
                self._plan(lane)
                continue
            lane.is_queued = True
            (self._proven if lane.is_proven else self._unproven).put(lane)

    def _next_lane(self) -> Lane | None:
        if self.running >= self.caps.in_flight:
            return None
        lane = self._proven.take(self._has_room)
        if lane is None and self._may_suspect():
            lane = self._unproven.take(self._has_room)
        return lane

    def _may_suspect(self) -> bool:
        return self._suspects < self.caps.in_flight * _SUSPECT_SHARE

    def _room_of(self, account: str) -> int:
        return min(self.caps.per_account - self._of_account[account], self.caps.in_flight - self.running)

    def _has_room(self, account: str) -> bool:
        return self._of_account[account] < self.caps.per_account

    def _occupy(self, lane: Lane) -> Slot:
        lane.running += 1
        self.running += 1
        self._of_account[lane.account] += 1
        self._suspects += 0 if lane.is_proven else 1
        return Slot(lane, lane.is_proven)
