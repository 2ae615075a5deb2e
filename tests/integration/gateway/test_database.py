"""Whatever needs the record while it cannot be reached is answered as such: come again."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gridloom_gateway.app import Frame, build_app
from gridloom_gateway.dialects.native import routes as native
from gridloom_gateway.people import Caller
from gridloom_gateway.route import NOBODY, Audience, Dialect, Route
from gridloom_kit.mongo import DatabaseError


class OpenEntrance:
    """Lets everybody in."""

    def to(self, _dialect: Dialect, route: Route):  # type: ignore[no-untyped-def]
        """Return the handler and nothing before it."""

        async def endpoint(request: web.Request) -> web.StreamResponse:
            return await route.handler(request, NOBODY)

        return endpoint

    def uncounted(self, _dialect: Dialect):  # type: ignore[no-untyped-def]
        """Return no headers."""
        return dict


async def nothing(_request: web.Request) -> web.StreamResponse:
    return web.Response()


async def without_database(_request: web.Request, _caller: Caller) -> web.StreamResponse:
    raise DatabaseError("no primary at mongodb://user:password@example.org")


async def test_a_record_that_cannot_be_reached_is_a_503_that_says_nothing_of_it() -> None:
    route = Route("GET", "/things", without_database, "List things", response=str)
    about = Dialect("about", Audience.ANYONE, (), native.render, {}, None)
    dialect = Dialect("native", Audience.ACCOUNT, (route,), native.render, {}, None, mounts=("/api",))
    frame = Frame(OpenEntrance(), native.render, 1000, about, lambda _mount, _dialect: nothing)  # type: ignore[arg-type]
    app = build_app((dialect,), frame, lambda request: request.host)
    async with TestClient(TestServer(app)) as client, client.get("/api/things") as answer:
        body = await answer.json()

    assert (answer.status, body["error"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "mongodb" not in body["message"]
