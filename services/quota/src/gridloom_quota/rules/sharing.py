"""Who gets how much of what is there."""

from __future__ import annotations

from collections.abc import Sequence


def shares(granted: int, counts: Sequence[int]) -> list[int]:
    """Return how much of `granted` each gets who wanted one of `counts`: everybody one first, then in their order."""
    given = [0] * len(counts)
    for most in (1, max(counts, default=0)):
        for index, count in enumerate(counts):
            more = min(granted, max(0, min(count, most) - given[index]))
            given[index] += more
            granted -= more
    return given
