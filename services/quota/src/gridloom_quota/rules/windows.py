"""Calendar windows in UTC: the day, the ISO week (it begins on Monday) and the month that hold a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gridloom_contract.quota import Window

WINDOWS = (Window.DAY, Window.WEEK, Window.MONTH)


def start_of(window: Window, at: datetime) -> datetime:
    """Return when the window that holds `at` began. Raises ValueError for a window that this version does not know."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if window is Window.DAY:
        return midnight
    if window is Window.WEEK:
        return midnight - timedelta(days=midnight.weekday())
    if window is Window.MONTH:
        return midnight.replace(day=1)
    raise ValueError(f"no calendar window: {window}")


def end_of(window: Window, at: datetime) -> datetime:
    """Return when the window that holds `at` turns: the first moment of the next one."""
    start = start_of(window, at)
    if window is Window.MONTH:
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if window is Window.WEEK else 1)


def minute_of(at: datetime) -> datetime:
    """Return when the minute that holds `at` began."""
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def longest_until(turn: datetime) -> Window:
    """Return the longest window that turns at `turn`: the one that holds an account back until then."""
    turning = [window for window in WINDOWS if start_of(window, turn) == turn]
    return turning[-1] if turning else Window.DAY
