"""The way of every request to its handler: who is it, may it go this fast, has it been here before.

Nothing is done for a request before it has come through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler

from gridloom_gateway.door import Door
from gridloom_gateway.gathering import Gathering
from gridloom_gateway.idempotency import Idempotency
from gridloom_gateway.rates import Rates
from gridloom_gateway.route import Dialect, Route


@dataclass(frozen=True)
class Entrance:
    """What stands before all handlers."""

    door: Door
    rates: Rates
    idempotency: Idempotency
    gathering: Gathering

    def to(self, dialect: Dialect, route: Route) -> WebHandler:
        """Return the route's handler with all that stands before it."""
        admit = self.door.of(dialect.audience, route)
        limit = self.rates.of(dialect, route)
        handler = self.idempotency.of(dialect, route)

        async def endpoint(request: web.Request) -> web.StreamResponse:
            caller = await admit(request)
            await limit(request, caller)
            try:
                return await handler(request, caller)
            finally:
                self.gathering.leave(request)

        return endpoint

    def uncounted(self, dialect: Dialect) -> Callable[[], dict[str, str]]:
        """Return what gives the rate headers of answers to calls that never came as far as being counted."""
        return self.rates.uncounted(dialect)
