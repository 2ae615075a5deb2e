"""The part of the native API that is about usage: `GET /usage` (seeds/000 §Usage Statistics)."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gridloom_contract.fault import FaultCode
from gridloom_gateway.people import READ, Caller
from gridloom_gateway.route import CSV, Route
from gridloom_gateway.usage_desk import UsageDesk
from gridloom_gateway.usage_statement import Statement, UsageQuery


@dataclass(frozen=True)
class OwnUsage:
    """The handler."""

    desk: UsageDesk

    async def tell(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /usage."""
        return await self.desk.tell(request, caller.account)


def routes(desk: UsageDesk) -> tuple[Route, ...]:
    """Return the route, below the native API's mounts."""
    return (
        Route(
            "GET",
            "/usage",
            OwnUsage(desk).tell,
            "Tokens and jobs by day and tag, and what is left of the quota",
            response=Statement,
            query=UsageQuery,
            faults=(FaultCode.INVALID, FaultCode.TOO_LARGE),
            scope=READ,
            also_as=(CSV,),
        ),
    )
