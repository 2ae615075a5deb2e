"""Fair time: start-time fair queueing, so that an account with 100,000 jobs does not starve one with a single job.

A queue is one route at one priority: only jobs of one queue are ever compared by fair time. Each queue has a virtual
time V and each account in it a finish time F. A new job is tagged `max(V, F)` and F moves on by its cost, so an
account's own jobs queue up behind each other, while a newcomer starts at V: at the head of what waits.
(Goyal, Vin, Cheng: Start-time Fair Queueing, 1996.)

V is the smallest tag that waits, or the largest that was dispatched when nothing waits. Both are in MongoDB, so a
restart, another replica or a full memory never resets an account's place; what is here is a bounded cache.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.tokens import text_characters

_CHARACTERS_PER_TOKEN = 4
_USUAL_OUTPUT_TOKENS = 256
_MOST_OUTPUT_TOKENS = 1_000_000
_MOST_ANSWERS = 128
_FRESH_SECONDS = 1.0
_MOST_FLOWS = 100_000
_MOST_QUEUES = 10_000


class Queue(NamedTuple):
    """One route at one priority."""

    route: str
    priority: int


def cost_of(task: Task) -> float:
    """Return the estimated tokens of a job: its prompt at four characters each and what it may generate, at least 1."""
    bound = output_bound(task)
    output = _USUAL_OUTPUT_TOKENS if bound is None else bound
    return max(1.0, text_characters(task) / _CHARACTERS_PER_TOKEN + output)


def output_bound(task: Task) -> int | None:
    """Return how many tokens the answer may have at most, as its owner said; None if nobody did."""
    if task.kind is Kind.EMBEDDING:
        return 0
    given = task.params if task.raw is None else task.raw
    for name in ("max_tokens", "max_completion_tokens"):
        wanted = given.get(name)
        if isinstance(wanted, int | float) and wanted > 0:
            return int(min(wanted * _answers(given), _MOST_OUTPUT_TOKENS))
    return None


def _answers(given: dict[str, Any]) -> int:
    """Return how many answers are wanted at once."""
    wanted = given.get("n")
    return wanted if isinstance(wanted, int) and 1 <= wanted <= _MOST_ANSWERS else 1


@dataclass
class _Line:
    virtual: float
    seen_at: float


class FairTime:
    """The virtual times of the queues this replica has seen lately."""

    def __init__(self, most_flows: int = _MOST_FLOWS, most_queues: int = _MOST_QUEUES) -> None:
        self._lines: OrderedDict[Queue, _Line] = OrderedDict()
        self._finish: OrderedDict[tuple[str, Queue], float] = OrderedDict()
        self._most_flows = most_flows
        self._most_queues = most_queues

    def must_look(self, queue: Queue, at: float) -> bool:
        """Whether the head of this queue is unknown or seen too long ago (`at` is in monotonic seconds)."""
        line = self._lines.get(queue)
        return line is None or at - line.seen_at > _FRESH_SECONDS

    def has_seen(self, queue: Queue) -> bool:
        """Whether anything is remembered of this queue."""
        return queue in self._lines

    def knows(self, account: str, queue: Queue) -> bool:
        """Whether the account's finish time in this queue is remembered."""
        return (account, queue) in self._finish

    def saw_head(self, queue: Queue, smallest_waiting: float | None, at: float) -> None:
        """Note the smallest tag that waits in a queue; None if nothing waits there."""
        before = self._lines.pop(queue, None)
        known = before.virtual if before else 0.0
        self._lines[queue] = _Line(known if smallest_waiting is None else smallest_waiting, at)
        if len(self._lines) > self._most_queues:
            self._lines.popitem(last=False)

    def saw_account(self, account: str, queue: Queue, finish: float | None) -> None:
        """Note where the account's last job that waits in a queue ends (its tag and its cost); None if none waits."""
        self._remember(account, queue, finish or 0.0)

    def tag(self, account: str, queue: Queue, cost: float) -> float:
        """Return the fair time of the account's next job in this queue."""
        start = max(self.virtual(queue), self._finish.get((account, queue), 0.0))
        self._remember(account, queue, start + cost)
        return start

    def virtual(self, queue: Queue) -> float:
        """Return the virtual time of a queue: the smallest tag that waits, as far as is known here."""
        line = self._lines.get(queue)
        return line.virtual if line else 0.0

    def dispatched(self, queue: Queue, fair: float) -> None:
        """Note that a job left the queue for a worker."""
        if queue not in self._lines:
            self.saw_head(queue, None, at=float("-inf"))
        line = self._lines[queue]
        line.virtual = max(line.virtual, fair)

    def _remember(self, account: str, queue: Queue, finish: float) -> None:
        flow = (account, queue)
        self._finish[flow] = finish
        self._finish.move_to_end(flow)
        if len(self._finish) > self._most_flows:
            self._finish.popitem(last=False)
