"""The part of the operator's API that is about plans and quotas: decode, translate, ask the desk, translate, encode."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract import quota as contract
from gridloom_contract.fault import FaultCode
from gridloom_domain.errors import NotFound
from gridloom_gateway import replies
from gridloom_gateway.dialects.admin import plan_wire, translate, wire
from gridloom_gateway.headroom import to_headroom
from gridloom_gateway.people import Caller
from gridloom_gateway.quota_desk import QuotaDesk
from gridloom_gateway.reading import BodyReader
from gridloom_gateway.route import Route

_BODY: Final = (FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA, FaultCode.REQUEST_TIMEOUT)
_ONE: Final = (FaultCode.NOT_FOUND,)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

_new = Decoder(plan_wire.Plan)
_terms = Decoder(plan_wire.PlanTerms)
_choice = Decoder(plan_wire.ChoosePlan)


@dataclass(frozen=True)
class PlanRoutes:
    """The handlers."""

    desk: QuotaDesk
    bodies: BodyReader

    async def list(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /plans."""
        return replies.json(plan_wire.Plans(plans=[from_plan(plan) for plan in await self.desk.plans()]))

    async def make(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /plans."""
        body = await self.bodies.decode(request, _new)
        return replies.json(from_plan(await self.desk.put(to_plan(body.name, body), is_new=True)), 201)

    async def get(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /plans/{plan}."""
        return replies.json(from_plan(await self.desk.plan(_plan_in(request))))

    async def put(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """PUT /plans/{plan}."""
        name = _plan_in(request)
        body = await self.bodies.decode(request, _terms)
        return replies.json(from_plan(await self.desk.put(to_plan(name, body), is_new=False)))

    async def delete(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """DELETE /plans/{plan}."""
        return replies.json(from_plan(await self.desk.delete(_plan_in(request))))

    async def assign(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """PUT /accounts/{account}/plan."""
        account = translate.to_account(request.match_info["account"])
        body = await self.bodies.decode(request, _choice)
        return replies.json(from_quota(await self.desk.assign(account, body.plan)))

    async def quota(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /accounts/{account}/quota."""
        account = translate.to_account(request.match_info["account"])
        return replies.json(from_quota(await self.desk.quota(account)))

    async def verify(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /quota/verify."""
        return replies.json(translate.from_proof(await self.desk.verify()))


def to_plan(name: str, terms: plan_wire.PlanTerms) -> contract.Plan:
    """Return the plan as the quota service keeps it."""
    fields = {field: getattr(terms, field) for field in plan_wire.PlanTerms.__struct_fields__ if field != "rates"}
    rates = tuple(contract.RateRule(group=rate.group, per_minute=rate.per_minute) for rate in terms.rates)
    return contract.Plan(name=name, rates=rates, **fields)


def from_plan(plan: contract.Plan) -> plan_wire.Plan:
    """Return a plan."""
    fields = {field: getattr(plan, field) for field in plan_wire.Plan.__struct_fields__ if field != "rates"}
    rates = [plan_wire.Rate(group=rate.group, per_minute=rate.per_minute) for rate in plan.rates]
    return plan_wire.Plan(rates=rates, **fields)


def from_quota(quota: contract.AccountQuota) -> plan_wire.Quota:
    """Return how an account stands."""
    headroom = to_headroom(quota)
    windows = [
        plan_wire.Window(
            window=str(each.window),
            used=each.used,
            reserved=each.reserved,
            limit=each.limit,
            remaining=each.remaining,
            started_at=translate.moment(each.started_at),
            resets_at=translate.moment(each.resets_at),
        )
        for each in headroom.windows
    ]
    until = headroom.held_until
    return plan_wire.Quota(
        account=quota.account,
        plan=from_plan(quota.plan),
        windows=windows,
        held_until=None if until is None else translate.moment(until),
    )


def _plan_in(request: web.Request) -> str:
    name = request.match_info["plan"]
    if not _NAME.fullmatch(name):
        raise NotFound("there is no such plan")
    return name


def routes(plans: PlanRoutes) -> tuple[Route, ...]:
    """Return the routes, below the operator's mount."""
    return (*_plan_routes(plans), *_account_routes(plans))


def _plan_routes(plans: PlanRoutes) -> tuple[Route, ...]:
    one, plan, terms = "/plans/{plan}", plan_wire.Plan, plan_wire.PlanTerms
    in_use = (FaultCode.NOT_FOUND, FaultCode.CONFLICT)
    return (
        Route("GET", "/plans", plans.list, "List plans, by name", response=plan_wire.Plans),
        Route(
            "POST",
            "/plans",
            plans.make,
            "Make a plan",
            response=plan,
            status=201,
            request=plan,
            faults=(*_BODY, FaultCode.CONFLICT),
            gives=(("plan", "name"),),
        ),
        Route("GET", one, plans.get, "Get a plan", response=plan, faults=_ONE),
        Route("PUT", one, plans.put, "Make or change a plan", response=plan, request=terms, faults=(*_BODY, *_ONE)),
        Route("DELETE", one, plans.delete, "Forget a plan that no account is on", response=plan, faults=in_use),
    )


def _account_routes(plans: PlanRoutes) -> tuple[Route, ...]:
    return (
        Route(
            "PUT",
            "/accounts/{account}/plan",
            plans.assign,
            "Put an account on a plan",
            response=plan_wire.Quota,
            request=plan_wire.ChoosePlan,
            faults=(*_BODY, *_ONE),
        ),
        Route(
            "GET",
            "/accounts/{account}/quota",
            plans.quota,
            "An account's plan and what is left of its quota",
            response=plan_wire.Quota,
            faults=_ONE,
        ),
        Route("POST", "/quota/verify", plans.verify, "Prove that no token is lost", response=wire.Proof),
    )
