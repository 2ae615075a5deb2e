"""Crash points: named places where a fault test ends the process as a power cut would. Without the variable they do nothing."""

from __future__ import annotations

import os

_VARIABLE = "GRIDLOOM_CRASH_AT"
_EXIT_CODE = 137
_name, _, _count = os.environ.get(_VARIABLE, "").partition(":")
_left = int(_count or "1")


def point(name: str) -> None:
    """End the process here, at once and without cleaning up, if `GRIDLOOM_CRASH_AT` is `name:n` and this is the n-th time.

    Tests find the names by reading the source for calls of this function, so pass a literal.
    """
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os._exit(_EXIT_CODE)
