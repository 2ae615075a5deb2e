"""The part of the operator's API that is about usage: that of any account, and the proof of the books."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gridloom_contract.fault import FaultCode
from gridloom_gateway import replies
from gridloom_gateway.accounts import Accounts
from gridloom_gateway.dialects.admin import translate, wire
from gridloom_gateway.people import Caller
from gridloom_gateway.route import CSV, Route
from gridloom_gateway.usage_desk import UsageDesk
from gridloom_gateway.usage_statement import Statement, UsageQuery


@dataclass(frozen=True)
class UsageRoutes:
    """The handlers."""

    desk: UsageDesk
    accounts: Accounts

    async def tell(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /accounts/{account}/usage."""
        account = await self.accounts.get(translate.to_account(request.match_info["account"]))
        return await self.desk.tell(request, account.id)

    async def verify(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /usage/verify."""
        return replies.json(translate.from_proof(await self.desk.verify()))


def routes(usage: UsageRoutes) -> tuple[Route, ...]:
    """Return the routes, below the operator's mount."""
    return (
        Route(
            "GET",
            "/accounts/{account}/usage",
            usage.tell,
            "An account's tokens and jobs, and what is left of its quota",
            response=Statement,
            query=UsageQuery,
            faults=(FaultCode.INVALID, FaultCode.NOT_FOUND, FaultCode.TOO_LARGE),
            also_as=(CSV,),
        ),
        Route("POST", "/usage/verify", usage.verify, "Prove the ledger and the totals", response=wire.Proof),
    )
