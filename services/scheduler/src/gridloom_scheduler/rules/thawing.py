"""Thawing: how many jobs of an account that was over quota are let go at a time.

Nobody knows how many of them its quota has room for. A few are let go; while most of those are not held again, more
follow, twice as many each time. So a plan that was raised starts everything within seconds, and a little room does not
set a million jobs in motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_FIRST = 8
_MOST = 512
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_PATIENCE_SECONDS = 1.0
"""Jobs that wait for a worker for so long do not keep others back."""


@dataclass(frozen=True)
class Thaw:
    """How it goes with one account. `probes` are the jobs let go last, at `since`; times are monotonic seconds."""

    size: int = _FIRST
    probes: tuple[str, ...] = ()
    since: float = 0.0
    not_before: float = 0.0
    pause_seconds: float = _FIRST_PAUSE_SECONDS
    is_due: bool = True
    """Whether there is a reason to let jobs go: the quota service said so, or their time has come."""
    has_news: bool = False
    """Whether the quota service said so once more after the probes were let go."""


def heard(thaw: Thaw | None) -> Thaw:
    """Return the thaw after the quota service said that there is room. What probes find out is older than that."""
    return replace(thaw, has_news=True) if thaw is not None and thaw.probes else Thaw()


def judged(thaw: Thaw, held_again: int, still_queued: int, now: float) -> Thaw:
    """Return the thaw after a look at its probes. It may go on if it `is_due` and has no probes left."""
    if held_again * 2 > len(thaw.probes) and thaw.has_news:
        return Thaw()
    if held_again * 2 > len(thaw.probes):
        pause = min(thaw.pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        return Thaw(not_before=now + thaw.pause_seconds, pause_seconds=pause, is_due=False)
    if still_queued * 2 <= len(thaw.probes):
        return replace(thaw, probes=())
    # No worker is free for most of them, so nobody can tell: a few more may be for other workers.
    return thaw if now < thaw.since + _PATIENCE_SECONDS else replace(thaw, probes=(), size=_FIRST)


def went_on(thaw: Thaw, probes: tuple[str, ...], now: float) -> Thaw:
    """Return the thaw after the next jobs were let go."""
    size = min(thaw.size * 2, _MOST)
    return replace(thaw, size=size, probes=probes, since=now, pause_seconds=_FIRST_PAUSE_SECONDS, has_news=False)


def is_ready(thaw: Thaw, now: float) -> bool:
    """Say whether somebody should look after the account now."""
    return bool(thaw.probes) or (thaw.is_due and now >= thaw.not_before)
