"""Endpoints in trouble, as they were a moment ago: most receivers are well, and need not be asked about each time."""

from __future__ import annotations

from typing import Protocol

from gridloom_kit.batch import GroupCommit
from gridloom_kit.clock import Clock
from gridloom_webhook.record import Trouble

_REMEMBERED_SECONDS = 1.0
_MOST_REMEMBERED = 10_000


class Endpoints(Protocol):
    """The record of endpoints in trouble."""

    async def put(self, trouble: Trouble) -> None:
        """Store the trouble of an endpoint."""
        ...

    async def recovered(self, endpoint: str) -> None:
        """Forget the trouble of an endpoint."""
        ...


class Troubles:
    """What is changed here is known here at once, what another replica changes within a second."""

    def __init__(self, find: GroupCommit[str, Trouble | None], endpoints: Endpoints, clock: Clock) -> None:
        self._find = find
        self._endpoints = endpoints
        self._clock = clock
        self._remembered: dict[str, tuple[float, Trouble | None]] = {}

    async def of(self, endpoint: str) -> Trouble | None:
        """Return the trouble an endpoint is in, if any, as it was at most a second ago.

        That it is disabled is never only remembered: somebody may have replayed a delivery meanwhile.
        """
        until, trouble = self._remembered.get(endpoint, (0.0, None))
        return trouble if self._clock.monotonic() < until else await self.read(endpoint)

    async def read(self, endpoint: str) -> Trouble | None:
        """Return the trouble an endpoint is in now."""
        return self._remember(endpoint, await self._find.submit(endpoint))

    async def put(self, trouble: Trouble) -> None:
        """Note that an endpoint is in trouble."""
        await self._endpoints.put(trouble)
        self._remembered.pop(trouble.endpoint, None)

    async def recovered(self, endpoint: str) -> None:
        """Note that an endpoint accepted something."""
        if await self.of(endpoint):
            await self._endpoints.recovered(endpoint)
            self._remembered.pop(endpoint, None)

    def _remember(self, endpoint: str, trouble: Trouble | None) -> Trouble | None:
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        is_disabled = trouble is not None and trouble.disabled_at is not None
        self._remembered[endpoint] = (0.0 if is_disabled else self._clock.monotonic() + _REMEMBERED_SECONDS, trouble)
        return trouble
