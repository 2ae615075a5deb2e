"""Crash points: named places where a fault test ends the process as a power cut would.

`run` arms them from `GRIDLOOM_CRASH_AT=<name>:<n>` (the n-th passage); without it they do nothing.
"""

from __future__ import annotations

import os

_EXIT_CODE = 137
_armed: dict[str, int] = {}


def arm(order: str | None) -> None:
    """Arm one point: `name` or `name:n`. Raises ValueError if n is no number."""
    if order:
        name, _, count = order.partition(":")
        _armed[name] = int(count or "1")


def point(name: str) -> None:
    """End the process here, at once and without cleaning up, if this is the armed passage.

    Tests find the names by reading the source for calls of this function, so pass a literal.
    """
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] == 0:
            os._exit(_EXIT_CODE)
