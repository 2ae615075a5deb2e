"""How a job ended, as accounting is told, and as much of it as fits into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gridloom_contract.events import JobFinished
from gridloom_contract.usage import Ending, EndingPage

_FRAME_BYTES = 256
"""What a page has around its endings."""

_encoder = msgspec.json.Encoder()


def ending_of(job: str, account: str, facts: Sequence[JobFinished]) -> Ending:
    """Return the ending that these facts, one or more in order, tell of. Faults are no matter of accounting."""
    last = facts[-1]
    return Ending(
        job=job,
        account=account,
        seq=last.seq,
        state=last.state,
        ended_at=last.at,
        usage=last.usage,
        facts=tuple(msgspec.structs.replace(fact, fault=None) for fact in facts),
    )


def page_of(endings: Sequence[Ending], at: datetime, most_bytes: int) -> EndingPage:
    """Return the first endings that fit together into an answer of `most_bytes`, at least one if there are any.

    If not even one fits, the job was retried some thousand times; its oldest endings are left out then.
    """
    room, fitting = most_bytes - _FRAME_BYTES, list[Ending]()
    for ending in endings:
        room -= len(_encoder.encode(ending)) + 1
        if room < 0:
            break
        fitting.append(ending)
    if endings and not fitting:
        fitting = [_shortened(endings[0], most_bytes - _FRAME_BYTES)]
    return EndingPage(endings=tuple(fitting), at=at)


def _shortened(ending: Ending, most_bytes: int) -> Ending:
    facts = ending.facts
    while len(facts) > 1 and len(_encoder.encode(ending)) > most_bytes:
        facts = facts[len(facts) // 2 :]
        ending = msgspec.structs.replace(ending, facts=facts)
    return ending
