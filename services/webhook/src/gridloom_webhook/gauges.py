"""How things stand, counted now and then."""

from __future__ import annotations

from typing import Protocol

from gridloom_webhook import metrics

_MOST = 10_000


class Pending(Protocol):
    """Deliveries that wait."""

    async def count_pending(self, most: int) -> int:
        """Return their number."""
        ...


class Disabled(Protocol):
    """Endpoints that are not called any more."""

    async def count_disabled(self) -> int:
        """Return their number."""
        ...


class Gauges:
    """Brings the gauges up to date."""

    def __init__(self, pending: Pending, disabled: Disabled) -> None:
        self._pending = pending
        self._disabled = disabled

    async def refresh(self) -> None:
        """Count."""
        metrics.pending.set(await self._pending.count_pending(_MOST))
        metrics.endpoints_disabled.set(await self._disabled.count_disabled())
