"""Fair time: nobody's backlog is in anybody else's way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_scheduler.rules.fairness import FairTime, Queue, cost_of

QUEUE = Queue("m:llama:8b", 0)
COST = 100.0


def drained(fair: FairTime, waiting: list[tuple[float, int, str]], count: int) -> list[str]:
    """Dispatch so many jobs of `(tag, arrival, account)` in fair order and return whose they were."""
    order = []
    for _ in range(count):
        job = min(waiting)
        waiting.remove(job)
        fair.dispatched(QUEUE, job[0])
        order.append(job[2])
    return order


def test_a_newcomer_goes_before_the_rest_of_a_hoard() -> None:
    fair = FairTime()
    waiting = [(fair.tag("hoarder", QUEUE, COST), number, "hoarder") for number in range(10_000)]
    drained(fair, waiting, 500)

    waiting.append((fair.tag("newcomer", QUEUE, COST), 10_000, "newcomer"))

    assert "newcomer" in drained(fair, waiting, 2)


def test_two_hoards_are_served_alternately() -> None:
    fair = FairTime()
    waiting = [
        (fair.tag(account, QUEUE, COST), number, account) for account in ("first", "second") for number in range(100)
    ]

    served = Counter(drained(fair, waiting, 100))

    assert served == {"first": 50, "second": 50}


def test_an_account_with_dearer_jobs_gets_fewer_of_them() -> None:
    fair = FairTime()
    waiting = [(fair.tag("dear", QUEUE, 300.0), number, "dear") for number in range(100)]
    waiting += [(fair.tag("cheap", QUEUE, 100.0), number, "cheap") for number in range(100)]

    served = Counter(drained(fair, waiting, 80))

    assert served == {"cheap": 60, "dear": 20}


def test_an_account_that_was_idle_has_saved_nothing_up() -> None:
    fair = FairTime()
    waiting = [(fair.tag("busy", QUEUE, COST), number, "busy") for number in range(100)]
    drained(fair, waiting, 50)
    waiting += [(fair.tag("idle", QUEUE, COST), 1000 + number, "idle") for number in range(50)]

    served = Counter(drained(fair, waiting, 40))

    assert abs(served["busy"] - served["idle"]) <= 1


def test_priorities_and_routes_keep_their_own_time() -> None:
    fair = FairTime()
    for _ in range(1000):
        fair.dispatched(QUEUE, fair.tag("hoarder", QUEUE, COST))

    assert fair.tag("hoarder", Queue(QUEUE.route, 5), COST) == 0.0
    assert fair.tag("hoarder", Queue("m:other", 0), COST) == 0.0


def test_what_a_restart_forgot_is_taken_over_from_what_waits() -> None:
    fair = FairTime()
    fair.saw_head(QUEUE, 5_000.0, at=0.0)
    fair.saw_account("hoarder", QUEUE, 90_000.0)
    fair.saw_account("newcomer", QUEUE, None)

    assert fair.tag("hoarder", QUEUE, COST) == 90_000.0
    assert fair.tag("newcomer", QUEUE, COST) == 5_000.0


def test_a_head_is_looked_at_again_after_a_while() -> None:
    fair = FairTime()
    assert fair.must_look(QUEUE, at=0.0)

    fair.saw_head(QUEUE, None, at=0.0)

    assert not fair.must_look(QUEUE, at=0.5)
    assert fair.must_look(QUEUE, at=2.0)


def test_memory_is_bounded() -> None:
    fair = FairTime(most_flows=10, most_queues=10)
    for number in range(1000):
        queue = Queue(f"m:{number}", 0)
        fair.saw_head(queue, None, at=0.0)
        fair.tag(f"acc{number}", queue, COST)

    assert not fair.knows("acc0", Queue("m:0", 0))
    assert fair.knows("acc999", Queue("m:999", 0))
    assert not fair.has_seen(Queue("m:0", 0))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(1, 1000)), max_size=60))
def test_an_accounts_own_jobs_keep_their_order(jobs: list[tuple[str, float]]) -> None:
    fair = FairTime()
    last: dict[str, float] = {}
    for account, cost in jobs:
        tag = fair.tag(account, QUEUE, cost)
        assert tag > last.get(account, -1.0)
        last[account] = tag


@pytest.mark.parametrize(
    ("task", "cost"),
    [
        (Task(prompt="x" * 400, params={"max_tokens": 50}), 150.0),
        (Task(prompt="x" * 400), 356.0),
        (Task(messages=({"role": "user", "content": "x" * 40},), params={"max_completion_tokens": 10}), 20.0),
        (Task(messages=({"role": "user", "content": [{"type": "text", "text": "x" * 8}, "odd"]},)), 258.0),
        (Task(prompt="", params={"max_tokens": -1}), 256.0),
        (Task(prompt="", params={"max_tokens": "many"}), 256.0),
        (Task(prompt="", params={"max_tokens": 10**30}), 1_000_000.0),
        (Task(raw={"messages": [{"content": "x" * 40}], "max_completion_tokens": 10}), 20.0),
        (Task(raw={"messages": [{"content": "x" * 40}], "max_tokens": 10, "n": 3}), 40.0),
        (Task(raw={"messages": [{"content": "x" * 40}], "max_tokens": 10, "n": "many"}), 20.0),
        (Task(kind=Kind.EMBEDDING, raw={"input": ["x" * 40, "x" * 40]}), 20.0),
        (Task(kind=Kind.EMBEDDING, raw={}), 1.0),
    ],
)
def test_a_job_costs_what_it_reads_and_may_write(task: Task, cost: float) -> None:
    assert cost_of(task) == cost
