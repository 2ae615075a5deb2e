"""How far the ledger is behind the jobs: the oldest ending that was told here and is not in the ledger yet."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from gridloom_contract.events import JobFinished
from gridloom_kit.clock import Clock
from gridloom_usage.rules.lines import EndingKey, key_of


class Ledger(Protocol):
    """The lines."""

    async def endings_of(self, jobs: Collection[str]) -> set[EndingKey]:
        """Return which endings of these jobs are in the ledger."""
        ...


class Lag:
    """Knows every ending between its fact and its line."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._told: dict[EndingKey, datetime] = {}

    def begin(self, fact: JobFinished) -> None:
        """The fact is here. If it cannot be recorded it stays known: it will be told again."""
        self._told[key_of(fact)] = fact.at

    def end(self, fact: JobFinished) -> None:
        """It is in the ledger."""
        self._told.pop(key_of(fact), None)

    def seconds(self) -> float:
        """Return the age of the oldest that waits; 0 if none does."""
        if not self._told:
            return 0.0
        return max(0.0, (self._clock.now() - min(self._told.values())).total_seconds())

    async def forget_recorded(self) -> None:
        """Forget what another replica recorded after it failed here."""
        for ending in await self._ledger.endings_of({job for job, _ in self._told}):
            self._told.pop(ending, None)
