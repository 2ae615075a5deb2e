"""How far the facts of jobs have been told again to an EVENTS stream that was born anew. Pure.

First those of the jobs that have not ended, by id, then those of the jobs that ended lately, by time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gridloom_scheduler.record import JobRecord

TOLD_AGAIN_SECONDS = 86_400.0
"""Whoever was away for longer than this compares with the jobs themselves."""


class Retelling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"stream": "_id"}):
    """One document of `retellings`. `born` tells one life of the stream from another.

    `ended_at` and `job` are the last place that was told. All is told once `is_done`.
    """

    stream: str
    born: str
    since: datetime
    until: datetime | None = None
    ended_at: datetime | None = None
    job: str = ""
    is_done: bool = False


def born_anew(stream: str, born: str, now: datetime) -> Retelling:
    """Return the state of a stream that has lost everything, or may have: nobody knows of it."""
    return Retelling(stream=stream, born=born, since=now - timedelta(seconds=TOLD_AGAIN_SECONDS))


def after_page(told: Retelling, page: Sequence[JobRecord], now: datetime) -> Retelling:
    """Return the state once a page has been told; an empty one ends its part."""
    if page:
        return msgspec.structs.replace(told, ended_at=page[-1].ended_at, job=page[-1].id)
    if told.until is None:
        # Who ends from now on was living when its part was told, or came later: the new stream has it.
        return msgspec.structs.replace(told, ended_at=told.since, job="", until=now)
    return msgspec.structs.replace(told, is_done=True)
