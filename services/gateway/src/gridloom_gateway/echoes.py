"""Echoes: what a dialect keeps with a job to show it again. A large one is an object, which no dialect notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gridloom_contract.jobs import Job
from gridloom_domain.errors import TooLarge
from gridloom_gateway.stored import OpenText

MAX_INLINE_BYTES: Final = 64 * 1024
_MOST_CHARACTERS: Final = 64 * 1024 * 1024
_ASIDE: Final = "gridloom:aside"


def set_aside(ref: str) -> dict[str, Any]:
    """Return what stands for an echo that is kept there."""
    return {_ASIDE: ref}


async def with_echoes(jobs: Sequence[Job], open_text: OpenText) -> list[Job]:
    """Return the jobs with their echoes, however large.

    Raises `TooLarge` if they are too much to be held together, and what `open_text` does.
    """
    found, room = [], _MOST_CHARACTERS
    for job in jobs:
        ref = job.echo.get(_ASIDE)
        if not isinstance(ref, str) or job.data_removed:
            found.append(job)
            continue
        async with open_text(ref) as pieces:
            parts = []
            async for piece in pieces:
                parts.append(piece)
                room -= len(piece)
                if room < 0:
                    raise TooLarge("these jobs are too large to be shown together; ask for fewer at once")
        found.append(msgspec.structs.replace(job, echo=msgspec.json.decode("".join(parts))))
    return found
