"""What is missing in the ledger, told by the jobs' own documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gridloom_contract.usage import Ending


class Mark(msgspec.Struct, frozen=True):
    """A place in the order of endings, `(ended_at, job)`. `job` is None before the first of that moment."""

    ended_at: datetime
    job: str | None = None


BEGINNING = Mark(datetime(1970, 1, 1, tzinfo=UTC))


def settled(endings: Sequence[Ending], read_at: datetime, settle_seconds: float) -> list[Ending]:
    """Return the endings, in their order, up to the first that is so young that its fact may still be on its way."""
    until = read_at - timedelta(seconds=settle_seconds)
    old = next((index for index, ending in enumerate(endings) if ending.ended_at > until), len(endings))
    return list(endings[:old])


def mark_of(ending: Ending) -> Mark:
    """Return the place of an ending."""
    return Mark(ended_at=ending.ended_at, job=ending.job)
