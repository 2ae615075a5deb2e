"""What a proof of the grid's books found, told to the person at the terminal."""

from __future__ import annotations

from typing import Any

from gridloom_local.problems import Problem

_MOST_SHOWN = 10


def tell_proof(what: str, proof: dict[str, Any]) -> str:
    """Return the sentence for books without a difference. Raises Problem with the first ones otherwise."""
    differences = proof["differences"]
    if not differences:
        return f"{what}: {proof['checked']} records compared, no difference"
    shown = "\n  ".join(differences[:_MOST_SHOWN])
    more = f"\n  and {len(differences) - _MOST_SHOWN} more" if len(differences) > _MOST_SHOWN else ""
    message = (
        f"{what}: {len(differences)} differences in {proof['checked']} records, the first one first:\n  {shown}{more}"
    )
    raise Problem(message, remedy="`--json` prints them all; one that stays after a minute is a defect")
