"""How long the grid took to go on after a fault: told in the test's output, and kept for whoever wants to quote it."""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

FILE = Path(__file__).resolve().parents[2] / ".bench" / "recovery.json"
_PATIENCE = 3
"""A busy machine may take so many times longer than an idle one; the figure is what is quoted."""


class Figure(msgspec.Struct):
    """One measured recovery, beside what it should be (DESIGN §8)."""

    fault: str
    seconds: float
    target_seconds: float


@contextmanager
def recovering(fault: str, target_seconds: float) -> Iterator[None]:
    """Measure from here to the end of the block. Raises AssertionError if it took much longer than it should."""
    began = time.monotonic()
    yield
    seconds = round(time.monotonic() - began, 2)
    sys.stdout.write(f"recovery: {fault}: {seconds} s (target {target_seconds:g} s)\n")
    keep(Figure(fault, seconds, target_seconds))
    assert seconds < _PATIENCE * target_seconds, f"{fault}: it took {seconds} s"


def keep(figure: Figure) -> None:
    """Put the figure in the file in place of an older one; several test processes may do so at once."""
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        kept = {each.fault: each for each in msgspec.json.decode(file.read() or b"[]", type=list[Figure])}
        kept[figure.fault] = figure
        file.truncate(0)
        file.write(msgspec.json.format(msgspec.json.encode([kept[fault] for fault in sorted(kept)])) + b"\n")
