"""Jobs that come back into their queue stand where they stood, but not before what waits by now."""

from __future__ import annotations

from gridloom_scheduler.chance import Chance
from gridloom_scheduler.pace import Pace
from gridloom_scheduler.rules.fairness import Queue
from unit.scheduler.records import a_record


class Heads:
    """A queue whose first job has this fair time."""

    def __init__(self, head: float | None) -> None:
        self.head = head

    async def smallest_fair(self, _queue: Queue) -> float | None:
        return self.head

    async def last_of_account(self, _account: str, _queue: Queue) -> tuple[float, float] | None:
        return None


async def test_those_that_were_overtaken_come_one_behind_the_other_from_the_head_on() -> None:
    jobs = [a_record(id=name, fair=1.0, cost=10.0) for name in "abc"]
    fair = await Pace(Heads(100.0), Chance(), lambda _: True).resume(jobs)
    assert fair == {"a": 100.0, "b": 110.0, "c": 120.0}


async def test_those_that_were_not_overtaken_stay_where_they_were() -> None:
    jobs = [a_record(id=name, fair=at, cost=10.0) for name, at in (("a", 500.0), ("b", 900.0))]
    fair = await Pace(Heads(100.0), Chance(), lambda _: True).resume(jobs)
    assert fair == {"a": 500.0, "b": 900.0}


async def test_queues_do_not_push_each_other_back() -> None:
    jobs = [a_record(id="a", fair=0.0, cost=10.0, priority=1), a_record(id="b", fair=0.0, cost=10.0, priority=2)]
    fair = await Pace(Heads(None), Chance(), lambda _: True).resume(jobs)
    assert fair == {"a": 0.0, "b": 0.0}
