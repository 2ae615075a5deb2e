"""The only place that asks what time it is. Everything else is handed a `Clock`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that rules can be tested at any hour."""

    def now(self) -> datetime:
        """Return the time of day, in UTC, in whole milliseconds (what MongoDB keeps)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the time of day, in UTC, in whole milliseconds (what MongoDB keeps)."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        return time.monotonic()
