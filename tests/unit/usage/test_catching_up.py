from __future__ import annotations

from datetime import timedelta

import pytest

from gridloom_usage.rules.catching_up import Mark, mark_of, settled
from unit.usage.facts import NOON, a_finish, an_ending


def endings(*ages_seconds):
    return [an_ending(a_finish(at=NOON - timedelta(seconds=age))) for age in ages_seconds]


@pytest.mark.parametrize(
    ("ages", "count"),
    [
        ((), 0),
        ((90, 60, 31), 3),
        ((90, 30), 2),
        ((90, 29.9), 1),
        ((1,), 0),
        ((90, 10, 60), 1),
        ((90, -60), 1),
    ],
)
def test_endings_are_settled_up_to_the_first_young_one(ages, count):
    page = endings(*ages)
    assert settled(page, NOON, settle_seconds=30) == page[:count]


def test_a_mark_is_the_place_of_an_ending():
    (ending,) = endings(5)
    assert mark_of(ending) == Mark(NOON - timedelta(seconds=5), ending.job)
