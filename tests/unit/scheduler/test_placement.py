"""Placement: what forbids a worker, and who is preferred among those that remain."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridloom_contract.vocabulary import Match
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.placement import Board, model_for
from unit.scheduler.records import WORKER, TestSeat, a_record

OTHER = "wbbbbbbbbbbbb"


def board(*seats: TestSeat, others_serve: Callable[[JobRecord], bool] = lambda _: True) -> Board:
    """A round with these workers on every route."""
    return Board(lambda _route: seats, others_serve)


def chosen(job: JobRecord, *seats: TestSeat) -> str | None:
    """Return the worker that gets the job."""
    placement = board(*seats).place(job)
    return placement.worker if placement else None


@pytest.mark.parametrize(
    ("job", "seat", "model"),
    [
        (a_record(), TestSeat(), "llama:8b"),
        (a_record(model="llama:70b"), TestSeat(), None),
        (a_record(model="llama", match=Match.FAMILY), TestSeat(), "llama:8b"),
        (a_record(model="qwen", match=Match.FAMILY, family="qwen"), TestSeat(), None),
        (a_record(node=WORKER), TestSeat(), "llama:8b"),
        (a_record(node=OTHER), TestSeat(), None),
        (a_record(node=WORKER, model="llama:70b"), TestSeat(), None),
        (a_record(), TestSeat(patrons=frozenset({"acc1"})), "llama:8b"),
        (a_record(account="acc2"), TestSeat(patrons=frozenset({"acc1"})), None),
    ],
)
def test_a_worker_serves_what_it_offers_to_whom_it_serves(job: JobRecord, seat: TestSeat, model: str | None) -> None:
    assert model_for(seat, job) == model


def test_a_family_takes_the_loaded_model_then_the_fastest() -> None:
    job = a_record(model="llama", match=Match.FAMILY)
    models = frozenset({"llama:1b", "llama:8b", "llama:70b"})
    speeds = {"llama:1b": 90.0, "llama:8b": 40.0}

    assert model_for(TestSeat(models=models, loaded=frozenset({"llama:70b"}), speeds=speeds), job) == "llama:70b"
    assert model_for(TestSeat(models=models, loaded=models, speeds=speeds), job) == "llama:1b"


@pytest.mark.parametrize(
    "better",
    [
        TestSeat(id=OTHER, patrons=frozenset({"acc1"}), loaded=frozenset()),
        TestSeat(id=OTHER),
        TestSeat(id=OTHER, loaded=frozenset(), slots=2, credit=2),
        TestSeat(id=OTHER, loaded=frozenset(), speeds={"llama:8b": 50.0}),
    ],
)
def test_the_better_worker_is_preferred(better: TestSeat) -> None:
    usual = TestSeat(loaded=frozenset(), speeds={"llama:8b": 20.0})

    assert chosen(a_record(), usual, better) == OTHER
    assert chosen(a_record(), better, usual) == OTHER


def test_credit_is_given_out_once() -> None:
    round_ = board(TestSeat(credit=2, slots=2), TestSeat(id=OTHER, credit=1))

    given = [round_.place(a_record()) for _ in range(4)]

    assert sorted(placement.worker for placement in given if placement) == [WORKER, WORKER, OTHER]
    assert given[3] is None


def test_a_claim_that_takes_from_the_worker_at_once_costs_one_credit_and_not_two() -> None:
    seat = TestSeat(credit=4, slots=4)
    round_ = board(seat)
    given = 0

    while round_.place(a_record()) is not None:
        seat.credit -= 1
        given += 1

    assert given == 4


def test_load_is_spread_over_equal_workers() -> None:
    seats = [TestSeat(id=f"w{number}", slots=4, credit=4) for number in range(5)]
    round_ = board(*seats)

    given = [round_.place(a_record()) for _ in range(10)]

    assert sorted(placement.worker for placement in given if placement) == sorted(seat.id for seat in seats * 2)


def test_a_worker_that_failed_the_job_is_avoided_while_others_serve_it() -> None:
    job = a_record(excluded=(WORKER,))

    assert board(TestSeat(), others_serve=lambda _: True).place(job) is None
    assert chosen(job, TestSeat(), TestSeat(id=OTHER, loaded=frozenset())) == OTHER
    alone = board(TestSeat(), others_serve=lambda _: False).place(job)
    assert alone is not None
    assert "nobody else serves it" in alone.why


def test_a_job_that_cannot_be_placed_leaves_the_workers_to_the_next() -> None:
    round_ = board(TestSeat(patrons=frozenset({"acc1"})))

    assert round_.place(a_record(account="acc2")) is None
    assert round_.place(a_record()) is not None


def test_the_reason_is_told() -> None:
    seat = TestSeat(slots=4, credit=3, speeds={"llama:8b": 41.6})

    placement = board(seat).place(a_record())

    assert placement is not None
    assert placement.why == "exact model, loaded, 3 of 4 slots free, 42 tokens/s"
