from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.vocabulary import State, Usage
from gridloom_usage.rules.batches import bare
from gridloom_usage.rules.lines import BatchId, Line, counted_by, lines_of, merged, unusable
from unit.usage.facts import NOON, a_finish, another_finish

FIRST, SECOND = BatchId("w1", 1), BatchId("w2", 1)


def the_line(*facts, batch=FIRST) -> Line:
    (line,) = lines_of(facts, batch)
    return line


def test_each_job_has_one_line():
    facts = [a_finish(), a_finish(), a_finish()]
    assert [line.job for line in lines_of([*facts, *facts], FIRST)] == [fact.job for fact in facts]


def test_a_line_adds_up_its_endings_and_tells_the_rest_as_of_the_last():
    first = a_finish(state=State.FAILED, usage=Usage(tokens_in=5, tokens_out=1, estimated=True), worker="wa")
    second = another_finish(first, at=NOON + timedelta(days=1), worker="wb", engine_seconds=0.25)
    line = the_line(second, first)
    assert (line.tokens_in, line.tokens_out, line.estimated, line.engine_microseconds) == (8, 3, True, 350_000)
    assert (line.state, line.worker, line.ended_at) == (State.SUCCEEDED, "wb", second.at)
    assert [entry.seq for entry in line.entries] == [4, 9]


def test_an_ending_without_usage_has_used_nothing():
    line = the_line(a_finish(state=State.CANCELED, usage=None, engine_seconds=None))
    assert (line.tokens_in, line.tokens_out, line.engine_microseconds, line.estimated) == (0, 0, 0, False)


def test_an_ending_stays_with_the_batch_that_brought_it():
    fact = a_finish()
    again = another_finish(fact)
    whole = merged(the_line(fact), the_line(fact, again, batch=SECOND))
    assert whole is not None
    assert counted_by(FIRST, whole) == {(fact.job, 4)}
    assert counted_by(SECOND, whole) == {(fact.job, 9)}


def test_a_line_that_has_all_endings_stays_as_it_is():
    fact = a_finish()
    assert merged(the_line(fact), the_line(fact, batch=SECOND)) is None


@given(st.permutations(range(5)))
def test_the_order_in_which_endings_come_does_not_matter(order):
    first = a_finish(job="0" * 32)
    facts = [first, *(another_finish(first, seq=4 + 5 * number, worker=f"w{number}") for number in range(1, 5))]
    line = the_line(facts[order[0]])
    for number in order[1:]:
        line = merged(line, the_line(facts[number])) or line
    assert line == the_line(*facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": Usage(tokens_in=-1, tokens_out=0)},
        {"usage": Usage(tokens_in=0, tokens_out=-1)},
        {"usage": Usage(tokens_in=0, tokens_out=2**63)},
        {"engine_seconds": -0.1},
        {"engine_seconds": 1e300},
        {"engine_seconds": float("nan")},
    ],
)
def test_numbers_that_no_job_has_are_not_counted(changes):
    assert unusable(a_finish(**changes))


@pytest.mark.parametrize("changes", [{}, {"usage": None, "engine_seconds": None}, {"engine_seconds": 86_400.0}])
def test_usual_numbers_are_counted(changes):
    assert unusable(a_finish(**changes)) is None


def test_a_batch_keeps_no_fault():
    assert bare(a_finish(fault=Fault(code=FaultCode.UPSTREAM, message="x" * 10_000))).fault is None
