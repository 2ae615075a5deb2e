"""Calendar windows are functions of a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.quota import Window
from gridloom_quota.rules.windows import WINDOWS, end_of, longest_until, start_of

TIMES = st.integers(0, 7_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        (Window.DAY, "2026-03-05 13:30", "2026-03-05", "2026-03-06"),
        (Window.DAY, "2026-12-31 23:59:59.999", "2026-12-31", "2027-01-01"),
        (Window.DAY, "2028-02-29 00:00", "2028-02-29", "2028-03-01"),
        (Window.WEEK, "2026-03-05 13:30", "2026-03-02", "2026-03-09"),
        (Window.WEEK, "2026-03-02 00:00", "2026-03-02", "2026-03-09"),
        (Window.WEEK, "2026-03-01 23:59", "2026-02-23", "2026-03-02"),
        (Window.WEEK, "2027-01-01 08:00", "2026-12-28", "2027-01-04"),
        (Window.MONTH, "2026-03-05 13:30", "2026-03-01", "2026-04-01"),
        (Window.MONTH, "2026-12-31 23:59", "2026-12-01", "2027-01-01"),
        (Window.MONTH, "2026-02-01 00:00", "2026-02-01", "2026-03-01"),
    ],
)
def test_a_window_is_the_one_that_holds_the_time(window: Window, now: str, start: str, end: str) -> None:
    assert (start_of(window, at(now)), end_of(window, at(now))) == (at(start), at(end))


@given(TIMES, st.sampled_from(WINDOWS))
def test_windows_follow_each_other_without_gap(now: datetime, window: Window) -> None:
    start, end = start_of(window, now), end_of(window, now)
    assert start <= now < end
    assert start_of(window, end) == end
    assert start_of(window, end - timedelta(microseconds=1)) == start


def test_windows_are_those_of_utc_wherever_the_time_comes_from() -> None:
    late_in_lima = datetime(2026, 3, 31, 20, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert start_of(Window.MONTH, late_in_lima) == at("2026-04-01")


@pytest.mark.parametrize(
    ("turn", "window"),
    [
        ("2026-03-05", Window.DAY),
        ("2026-03-09", Window.WEEK),
        ("2026-04-01", Window.MONTH),
        ("2026-06-01", Window.MONTH),
    ],
)
def test_the_longest_window_that_turns_holds_back(turn: str, window: Window) -> None:
    assert longest_until(at(turn)) is window
