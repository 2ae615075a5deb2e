"""Routes that share workers take turns; priority comes first."""

from __future__ import annotations

from gridloom_scheduler.rules.turns import Turns
from unit.scheduler.records import a_record


def test_two_routes_are_asked_in_turn() -> None:
    first = [a_record(model="a:1") for _ in range(3)]
    second = [a_record(model="b:1") for _ in range(3)]

    order = Turns().order({"m:a:1": first, "m:b:1": second})

    assert [{one.model, other.model} for one, other in zip(order[::2], order[1::2], strict=True)] == [
        {"a:1", "b:1"}
    ] * 3
    assert [job for job in order if job.model == "a:1"] == first


def test_a_higher_priority_goes_first_whatever_the_turn() -> None:
    turns = Turns()
    low, high = a_record(model="a:1"), a_record(model="b:1", priority=1)
    for _ in range(5):
        turns.took("m:b:1", {"m:a:1": [low], "m:b:1": [high]})

    assert turns.order({"m:a:1": [low], "m:b:1": [high]}) == [high, low]


def test_with_one_slot_at_a_time_the_turn_is_remembered() -> None:
    turns = Turns()
    waiting = {"m:a:1": [a_record(model="a:1")], "m:b:1": [a_record(model="b:1")]}
    given = []
    for _ in range(6):
        job = turns.order(waiting)[0]
        turns.took(job.route, waiting)
        given.append(job.model)

    assert sorted(given[:2]) == sorted(given[2:4]) == sorted(given[4:]) == ["a:1", "b:1"]


def test_a_route_that_comes_back_starts_level() -> None:
    turns = Turns()
    busy = {"m:a:1": [a_record(model="a:1")]}
    for _ in range(1000):
        turns.took("m:a:1", busy)
    both = {**busy, "m:b:1": [a_record(model="b:1") for _ in range(50)]}

    given = []
    for _ in range(10):
        job = turns.order(both)[0]
        turns.took(job.route, both)
        given.append(job.model)

    assert 4 <= given.count("a:1") <= 6
