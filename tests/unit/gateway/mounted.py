"""The application of all dialects without what is behind them: each has routes that fail as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler as WebHandler

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_gateway.address import Addresses
from gridloom_gateway.app import DIALECTS, Frame, build_app, opened
from gridloom_gateway.dialects.native import routes as native
from gridloom_gateway.docs import answering
from gridloom_gateway.openapi import describe_one
from gridloom_gateway.people import Caller
from gridloom_gateway.route import NOBODY, Audience, Dialect, Route
from gridloom_gateway.sites import sites_of
from gridloom_gateway.supplies import Supplies, Terms

Client = TestClient[web.Request, web.Application]
RATE = {"X-Toy-Rate": "uncounted"}


class OpenEntrance:
    """Lets everybody in, and counts nothing."""

    def to(self, _dialect: Dialect, route: Route) -> WebHandler:
        """Return the handler and nothing before it."""

        async def endpoint(request: web.Request) -> web.StreamResponse:
            return await route.handler(request, NOBODY)

        return endpoint

    def uncounted(self, dialect: Dialect) -> Callable[[], dict[str, str]]:
        """Return headers for those that have any."""
        return lambda: RATE if dialect.rate_headers else {}


async def who(request: web.Request, _caller: Caller) -> web.StreamResponse:
    """Answer with what was asked for."""
    return web.json_response({"path": request.path, **request.match_info})


async def fail(request: web.Request, _caller: Caller) -> web.StreamResponse:
    """Fail with the fault in the path."""
    fault = Fault(code=FaultCode(request.match_info["code"]), message="as told", retry_after_seconds=7)
    raise FaultError(fault)


async def burst(_request: web.Request, _caller: Caller) -> web.StreamResponse:
    """Fail as a bug does."""
    raise RuntimeError("a secret that nobody may see")


ROUTES = (
    Route("GET", "/failures/{code}", fail, "Fail", response=str),
    Route("GET", "/burst", burst, "Burst", response=str),
    Route("GET", "/things/{id}", who, "Get a thing", response=str),
)


def dialects() -> tuple[Dialect, ...]:
    """Return all dialects of the table, with these routes beside their own."""
    nothing: Any = dict.fromkeys(field.name for field in fields(Supplies))
    supplies = Supplies(**(nothing | {"terms": Terms()}))
    named = tuple(replace(route, handler=told(route.handler)) for route in ROUTES)
    return tuple(replace(one, routes=(*one.routes, *named)) for one in opened(DIALECTS, supplies))


def told(handler: Any) -> Any:
    """Return the handler as another function: routes are told apart by theirs."""

    async def same(request: web.Request, caller: Caller) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request, caller)
        return answer

    return same


@asynccontextmanager
async def served(*mounts: str, trusted: tuple[str, ...] = ()) -> AsyncIterator[Client]:
    """Serve all of them, with these host names."""
    all_of_them = dialects()
    page = Route("GET", "/docs", who, "Docs", response=str)
    about = Dialect("about", Audience.ANYONE, (page,), native.render, {}, None)
    entrance: Any = OpenEntrance()
    frame = Frame(
        entrance,
        native.render,
        1000,
        about,
        lambda mount, dialect: answering(partial(describe_one, dialect, "1", mount or "/")),
    )
    app = build_app(all_of_them, frame, Addresses(trusted).host_of, sites_of(mounts, all_of_them))
    async with TestClient(TestServer(app)) as client:
        yield client
