from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from gridloom_contract.vocabulary import Usage
from gridloom_usage.rules.differences import MOST_TOLD, Recount, Share, of_forgotten, of_ledger, told
from gridloom_usage.rules.lines import BatchId, lines_of
from gridloom_usage.rules.rollups import Group, Rollup, Sums
from unit.usage.facts import NOON, a_finish, an_ending, another_finish

BATCH = BatchId("w1", 7)
LATER = NOON + timedelta(minutes=1)
GROUP = Group(account="acc1", day="2026-01-15", tag=None, model="m", key="k")
SUMS = Sums(jobs=2, tokens_in=5)
NAMED = "account acc1, 2026-01-15, no tag, model 'm', key k"


def lines(*facts):
    return lines_of(facts, BATCH)


def a_rollup(sums=SUMS, **applied):
    return {GROUP: Rollup(group=GROUP, sums=sums, applied=applied or {"w1": 7})}


def a_share(number=7, sums=SUMS):
    return Share(group=GROUP, batch=BatchId("w1", number), sums=sums)


def recount(rollups, *shares):
    counted = Recount(rollups)
    for share in shares:
        counted.add(share)
    return counted


def test_a_ledger_that_says_what_the_jobs_say_has_no_differences():
    first = a_finish()
    facts = [first, another_finish(first), a_finish()]
    assert of_ledger([an_ending(*facts[:2]), an_ending(facts[2])], lines(*facts), LATER) == []


def test_times_are_compared_as_they_are_kept_in_milliseconds():
    fact = a_finish(at=NOON + timedelta(microseconds=999))
    (line,) = lines(a_finish(job=fact.job, created_at=fact.created_at, started_at=fact.started_at))
    assert of_ledger([an_ending(fact)], [line], LATER) == []


@pytest.mark.parametrize(
    ("stored", "difference"),
    [
        ({"usage": Usage(tokens_in=4, tokens_out=2)}, ", ending 4: the ledger has tokens_in 4, the job 3"),
        (
            {"usage": Usage(tokens_in=3, tokens_out=2, estimated=True)},
            ", ending 4: the ledger has estimated True, the job False",
        ),
        ({"engine_seconds": 0.2}, ", ending 4: the ledger has engine_microseconds 200000, the job 100000"),
        ({"worker": None}, ", ending 4: the ledger has worker none, the job wk3q5zt7m2abd"),
        ({"state": "failed"}, ", ending 4: the ledger has state failed, the job succeeded"),
        ({"tag": "x"}, ": the ledger has tag x, the job none"),
        ({"key": "key2"}, ": the ledger has key key2, the job key1"),
        ({"account": "acc2"}, ": the ledger has account acc2, the job acc1"),
    ],
)
def test_every_field_is_compared(stored, difference):
    fact = a_finish()
    written = msgspec.convert(msgspec.to_builtins(fact) | msgspec.to_builtins(stored), type(fact))
    assert of_ledger([an_ending(fact)], lines(written), LATER) == [f"job {fact.job}{difference}"]


def test_an_ending_that_is_missing_is_told_once_it_is_old_enough():
    first = a_finish()
    second = another_finish(first, at=LATER)
    assert of_ledger([an_ending(first, second)], lines(first), NOON) == []
    assert of_ledger([an_ending(first, second)], lines(first), LATER) == [
        f"job {first.job}: its ending 9 is not in the ledger"
    ]


def test_an_ending_that_the_job_does_not_have_is_told_once_it_is_old_enough():
    first = a_finish()
    second = another_finish(first, at=LATER)
    assert of_ledger([an_ending(first)], lines(first, second), NOON) == []
    assert of_ledger([an_ending(first)], lines(first, second), LATER) == [
        f"job {first.job}: the ledger has an ending 9 that the job does not have"
    ]


def test_differences_come_in_the_order_of_jobs():
    facts = [a_finish(job=f"{number:032x}") for number in (2, 0, 1)]
    found = of_ledger([an_ending(fact) for fact in facts], [], LATER)
    assert [sentence.split()[1] for sentence in found] == sorted(f"{fact.job}:" for fact in facts)


def test_rollups_that_add_up_have_no_differences():
    assert recount(a_rollup(), a_share(6, Sums(jobs=1)), a_share(7, Sums(jobs=1, tokens_in=5))).differences() == []


def test_a_rollup_that_does_not_add_up_is_told_field_by_field():
    assert recount(a_rollup(), a_share(7, Sums(jobs=3, tokens_in=5, failed=1))).differences() == [
        f"{NAMED}: the rollup has jobs 2, the ledger 3",
        f"{NAMED}: the rollup has failed 0, the ledger 1",
    ]


def test_what_a_rollup_does_not_say_to_have_is_not_counted_but_kept():
    counted = recount(a_rollup(), a_share(), late := a_share(8))
    assert (counted.differences(), counted.late) == ([], [late])


def test_what_was_forgotten_is_told_with_its_batch():
    assert of_forgotten([a_share(8)]) == [f"{NAMED}: the rollup lacks 2 jobs of batch 8 of w1"]


def test_a_report_tells_the_first_differences_and_how_many_there_are_beside():
    assert told(["a", "b"]) == ("a", "b")
    many = [str(number) for number in range(MOST_TOLD + 3)]
    assert told(many) == (*many[:MOST_TOLD], "and 3 more")
