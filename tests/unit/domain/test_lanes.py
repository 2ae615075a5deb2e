"""Lanes: who is served first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.streams import LANES
from gridloom_domain.lanes import lane_of


@pytest.mark.parametrize(
    ("priority", "sync", "batch", "lane"),
    [
        (0, False, False, "normal"),
        (1, False, False, "high"),
        (-1, False, False, "low"),
        (0, True, False, "high"),
        (-9, True, False, "high"),
        (0, False, True, "low"),
        (9, False, True, "low"),
        (0, True, True, "high"),
    ],
)
def test_the_lane_of_a_job(priority: int, sync: bool, batch: bool, lane: str) -> None:
    assert lane_of(priority, sync=sync, batch=batch) == lane


@given(st.integers(), st.integers(), st.booleans(), st.booleans())
def test_a_higher_priority_never_means_a_later_lane(one: int, other: int, sync: bool, batch: bool) -> None:
    lower, higher = sorted((one, other))
    position_of_higher = LANES.index(lane_of(higher, sync=sync, batch=batch))
    assert position_of_higher <= LANES.index(lane_of(lower, sync=sync, batch=batch))
