"""Allowances: what the claim of a job takes of its account's plan, and how many tokens to reserve for it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gridloom_contract.jobs import Task
from gridloom_domain.estimates import estimate
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules.fairness import output_bound


@dataclass(frozen=True)
class Allowance:
    """Tokens of a grant, and one of the account's parallel places (a berth). Neither, for an account without limits."""

    grant: str | None = None
    tokens: int = 0
    berth: int | None = None


WITHOUT_LIMITS = Allowance()
_ENOUGH = 512


@dataclass(frozen=True)
class Moored:
    """The jobs an account has in hand: how many, and on which berths. Those claimed before it had a cap have none."""

    count: int = 0
    berths: frozenset[int] = frozenset()


def tokens_for(job: JobRecord, usual_output: float) -> int:
    """Return how many tokens to reserve for a job whose model usually answers with `usual_output`."""
    size = job.input_size
    characters = 0 if size is None else size.task_bytes if size.text_characters is None else size.text_characters
    return estimate(characters, output_bound(msgspec.json.decode(job.task, type=Task)), usual_output)


def free_berths(most: int, moored: Moored) -> list[int]:
    """Return berths that may be taken now so that at most `most` jobs are in hand, the lowest one last.

    Not all of them, if there are more than one round can need.
    """
    left = min(max(0, most - moored.count), _ENOUGH)
    free: list[int] = []
    for berth in range(most):
        if len(free) == left:
            break
        if berth not in moored.berths:
            free.append(berth)
    return free[::-1]
