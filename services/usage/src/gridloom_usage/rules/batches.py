"""What is written together: facts, under an id that each of their entries and rollups will carry."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gridloom_contract.events import JobFinished
from gridloom_usage.rules.lines import BatchId


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that go into the ledger together."""

    id: BatchId
    opened_at: datetime
    facts: tuple[JobFinished, ...]


def bare(fact: JobFinished) -> JobFinished:
    """Return the fact without what accounting does not need: a fault's message may be long."""
    return msgspec.structs.replace(fact, fault=None) if fact.fault else fact
