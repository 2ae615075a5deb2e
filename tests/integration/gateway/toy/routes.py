"""The routes of the toy API."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import ListJobs
from gridloom_contract.quota import RateRule
from gridloom_gateway import replies
from gridloom_gateway.door import key_of
from gridloom_gateway.filling import Rendered, rendered
from gridloom_gateway.people import READ, WRITE, Caller
from gridloom_gateway.route import Audience, Dialect, Route
from gridloom_gateway.supplies import Supplies
from integration.gateway.toy import translate, wire

_ask = Decoder(wire.Ask)


@dataclass(frozen=True)
class Toys:
    """The handlers."""

    supplies: Supplies

    async def submit(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """POST /toys."""
        desk = self.supplies.desk
        body = await self.supplies.bodies.decode(request, _ask)
        job = desk.mint(caller)
        webhook = self.supplies.webhooks.order(body.tell, key_of(request), job, translate.DIALECT)
        await desk.submit(translate.to_submission(body, caller, job, webhook))
        return replies.json(translate.from_job(await desk.get(caller.account, job)), 201)

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /toys/{toy}."""
        return replies.json_bytes(
            (await self.render(caller.account, translate.to_job_id(request.match_info["toy"]))).content
        )

    async def list(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /toys."""
        page = await self.supplies.desk.list(ListJobs(account=caller.account, dialects=(translate.DIALECT,)))
        return replies.json(wire.Box(toys=[translate.from_job(job) for job in page.jobs]))

    async def render(self, account: str, job: str) -> Rendered:
        """Return what GET answers, and a webhook carries."""
        return rendered(await self.supplies.desk.get(account, job), translate.from_job)


def dialect(supplies: Supplies) -> Dialect:
    """Return the toy API as a value."""
    toys = Toys(supplies)
    return Dialect(
        name=translate.DIALECT,
        audience=Audience.ACCOUNT,
        routes=(
            Route(
                "POST",
                "/toys",
                toys.submit,
                "Ask",
                response=wire.Answer,
                status=201,
                request=wire.Ask,
                scope=WRITE,
                is_made_under_id=True,
            ),
            Route("GET", "/toys", toys.list, "List", response=wire.Box, scope=READ),
            Route("GET", "/toys/{toy}", toys.get, "Get", response=wire.Answer, scope=READ),
        ),
        render=render,
        statuses=translate.HTTP,
        error=wire.Oops,
        rates=(RateRule(group=translate.DIALECT, per_minute=20),),
        rate_headers=lambda decision: {"X-Toys-Left": str(decision.remaining)},
        document=toys.render,
    )


def render(error: FaultError, _request_id: str) -> web.Response:
    """Return an error as this API spells it."""
    return replies.error(wire.Oops(oops=error.fault.message), translate.HTTP[error.fault.code], error.fault)
