"""How a command speaks to the person at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]
"""Hears one line."""


@dataclass(frozen=True)
class Voice:
    """Whole lines, and text as it comes, without a line end."""

    say: Say
    write: Callable[[str], None]
