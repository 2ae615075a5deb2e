"""The part of the native API that is about usage: `GET /usage` (seeds/000 §Usage Statistics)."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.dialects.native import translate
from gridloom_gateway.people import READ, Caller
from gridloom_gateway.route import CSV, Route
from gridloom_gateway.usage_desk import UsageDesk
from gridloom_gateway.usage_statement import JobUsage, Statement, UsageQuery


@dataclass(frozen=True)
class OwnUsage:
    """The handlers."""

    desk: UsageDesk

    async def tell(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /usage."""
        return await self.desk.tell(request, caller.account)

    async def of_job(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /jobs/{id}/usage."""
        job = translate.to_job_id(request.match_info["id"])
        return replies.json(await self.desk.line(caller.account, job))


def routes(desk: UsageDesk) -> tuple[Route, ...]:
    """Return the routes, below the native API's mounts."""
    own = OwnUsage(desk)
    return (
        Route(
            "GET",
            "/usage",
            own.tell,
            "Tokens and jobs by day and tag, and what is left of the quota",
            response=Statement,
            query=UsageQuery,
            faults=(FaultCode.INVALID, FaultCode.TOO_LARGE),
            scope=READ,
            also_as=(CSV,),
        ),
        Route(
            "GET",
            "/jobs/{id}/usage",
            own.of_job,
            "What an ended job took, once it was counted",
            response=JobUsage,
            faults=(FaultCode.NOT_FOUND,),
            scope=READ,
        ),
    )
