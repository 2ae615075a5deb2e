from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.vocabulary import State, Usage
from gridloom_usage.rules.lines import BatchId, key_of, lines_of
from gridloom_usage.rules.rollups import Group, Rollup, Sums, day_of, increments
from unit.usage.facts import NOON, a_finish, another_finish, plain_sums

BATCH = BatchId("w1", 7)


def increments_of(facts):
    return increments(lines_of(facts, BATCH), {key_of(fact) for fact in facts})


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 1, 15, 0, 0, tzinfo=UTC), "2026-01-15"),
        (datetime(2026, 1, 15, 23, 59, 59, 999_999, tzinfo=UTC), "2026-01-15"),
        (datetime(2026, 1, 15, 23, 30, tzinfo=timezone(timedelta(hours=-2))), "2026-01-16"),
        (datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "2025-12-31"),
    ],
)
def test_days_are_of_the_utc_calendar(moment, day):
    assert day_of(moment) == day


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (State.SUCCEEDED, (1, 1, 0, 0)),
        (State.FAILED, (1, 0, 1, 0)),
        (State.CANCELED, (1, 0, 0, 1)),
    ],
)
def test_an_ending_counts_as_what_it_is(state, counts):
    (sums,) = increments_of([a_finish(state=state)]).values()
    assert (sums.jobs, sums.succeeded, sums.failed, sums.canceled) == counts


def test_only_what_the_batch_counts_is_added():
    mine, others = a_finish(usage=Usage(tokens_in=7, tokens_out=1)), a_finish()
    (sums,) = increments(lines_of([mine, others], BATCH), {key_of(mine)}).values()
    assert (sums.jobs, sums.tokens_in) == (1, 7)


def test_a_retried_job_counts_on_the_day_of_each_ending():
    first = a_finish(state=State.FAILED)
    growth = increments_of([first, another_finish(first, at=NOON + timedelta(days=1))])
    assert {group.day: sums.jobs for group, sums in growth.items()} == {"2026-01-15": 1, "2026-01-16": 1}


@given(
    st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.integers(0, 10**9), st.floats(0, 1e6)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_any_order_and_division_gives_the_same_sums(jobs, chance):
    facts = [
        a_finish(tag=tag, usage=Usage(tokens_in=tokens, tokens_out=1), engine_seconds=seconds)
        for tag, tokens, seconds in jobs
    ]
    chance.shuffle(facts)
    cut = chance.randint(0, len(facts))
    total: dict[Group, Sums] = {}
    for part in (facts[:cut], facts[cut:]):
        for group, sums in increments_of(part).items():
            total[group] = total.get(group, Sums()) + sums
    assert total == plain_sums(facts)


def test_a_rollup_has_every_batch_of_a_writer_up_to_the_last():
    group = Group(account="acc1", day="2026-01-15", tag=None, model="m", key="k")
    rollup = Rollup(group=group, sums=Sums(), applied={"w1": 7})
    assert [rollup.has(BatchId("w1", number)) for number in (6, 7, 8)] == [True, True, False]
    assert not rollup.has(BatchId("w2", 1))
