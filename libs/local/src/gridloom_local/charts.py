"""Bar charts in the terminal: a line for each value, the longest bar for the largest. Pure but for the printing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gridloom_local.tables import print_table

WIDTH: Final = 40
_FULL: Final = "█"
_EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def print_bars(heading: str, unit: str, values: Mapping[str, float]) -> None:
    """Print a bar for each value, in the given order; nothing where all are zero."""
    if any(values.values()):
        rows = [(name, bar(value, max(values.values())), f"{value:,.0f}") for name, value in values.items()]
        print_table((heading, "", unit), rows)


def bar(value: float, largest: float, width: int = WIDTH) -> str:
    """Return a bar of at most `width` characters, in eighths of one; what is more than nothing can be seen."""
    if value <= 0 or largest <= 0:
        return ""
    eighths = max(1, round(min(value / largest, 1.0) * width * 8))
    return _FULL * (eighths // 8) + _EIGHTHS[eighths % 8]
