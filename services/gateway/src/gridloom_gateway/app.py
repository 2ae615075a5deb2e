"""The HTTP application: the table of all public APIs, each served with its own errors, inside what requests share."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as WebHandler
from aiohttp.typedefs import Middleware

from gridloom_gateway import metrics, rates
from gridloom_gateway.dialects.infernet import routes as infernet
from gridloom_gateway.dialects.native import routes as native
from gridloom_gateway.dialects.openai import routes as openai
from gridloom_gateway.dialects.remotejobs import routes as remotejobs
from gridloom_gateway.entrance import Entrance
from gridloom_gateway.faults import REQUEST_ID_KEY, route_of, speaking
from gridloom_gateway.route import Dialect, Render
from gridloom_gateway.sites import HostOf, Mounts, Site, add_site
from gridloom_gateway.supplies import Supplies
from gridloom_kit.log import bind
from gridloom_kit.trace import continue_trace, start_trace

REQUEST_ID: Final = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ONE_WORD: Final = "[^{}/]+"
_METHODS: Final = frozenset(hdrs.METH_ALL)
_NO_HEADERS: Final[dict[str, str]] = {}


@dataclass(frozen=True)
class Row:
    """A public API: what opens it, where it is served under every host name, and where under one of its own.

    Each path ends in the vendor's own (API.md §2.0), so that clients join both with and without it; the first of
    `mounts` is the canonical one.
    """

    open: Callable[[Supplies], Dialect]
    mounts: tuple[str, ...]
    own_mounts: tuple[str, ...]


DIALECTS: Final = (
    Row(native.dialect, ("/api/v1", "/api/v1/v1", "/vibe/api/v1", "/vibe/api/v1/v1"), ("/api/v1", "/api/v1/v1", "")),
    Row(openai.dialect, ("/v1", "/openai/v1"), ("/v1", "")),
    Row(remotejobs.dialect, ("/remotejobs/v2", "/gridrepublic/remotejobs/v2"), ("/remotejobs/v2", "")),
    Row(infernet.dialect, ("/infernet/api/v1",), ("/api/v1", "")),
)


def opened(rows: Sequence[Row], supplies: Supplies) -> tuple[Dialect, ...]:
    """Return the dialects of a table, each knowing where it is served."""
    return tuple(replace(row.open(supplies), mounts=row.mounts, own_mounts=row.own_mounts) for row in rows)


@dataclass(frozen=True)
class Frame:
    """What the application needs beside dialects. `fallback` renders the errors of paths below no mount."""

    entrance: Entrance
    fallback: Render
    max_body_bytes: int
    about: Dialect
    """The description of everything, at the root of every host."""
    describe: Callable[[str, Dialect], WebHandler]
    """Returns what answers `/openapi.json` below this path with the description of this dialect."""


def build_app(
    dialects: Sequence[Dialect], frame: Frame, host_of: HostOf, sites: Sequence[Site] = ()
) -> web.Application:
    """Return the application, with further mounts under the names of `sites`."""
    app = web.Application(middlewares=[_observe, speaking(frame.fallback)], client_max_size=frame.max_body_bytes)
    app.on_response_prepare.append(_finish_headers)
    usual = tuple((mount, dialect) for dialect in dialects for mount in dialect.mounts)
    if not sites:
        _fill(app, usual, frame)
        return app
    for site in (*sites, Site("", ())):
        # At the same place, what is said of a name counts.
        mounts = dict(usual) | dict(site.mounts)
        root = mounts.get("")
        inside = web.Application(middlewares=[_voice(root, frame)] if root else [])
        _fill(inside, tuple(mounts.items()), frame)
        add_site(app, inside, site.host, host_of)
    return app


def _fill(app: web.Application, mounts: Mounts, frame: Frame) -> None:
    for mount, dialect in mounts:
        inner = web.Application(middlewares=[_voice(dialect, frame)]) if mount else app
        inner.router.add_route("GET", "/openapi.json", frame.describe(mount, dialect))
        _add_routes(inner, dialect, frame.entrance)
        if mount:
            app.add_subapp(mount, inner)
    _add_routes(app, frame.about, frame.entrance)


def _voice(dialect: Dialect, frame: Frame) -> Middleware:
    return speaking(dialect.render, frame.entrance.uncounted(dialect))


def _add_routes(app: web.Application, dialect: Dialect, entrance: Entrance) -> None:
    paths = {route.path for route in dialect.routes}
    for route in dialect.routes:
        handler = entrance.to(dialect, route)
        pattern = pattern_of(route.path, paths)
        for path in (pattern, f"{pattern}/"):
            app.router.add_route(route.method, path, handler, expect_handler=_expect)


def pattern_of(path: str, paths: Collection[str]) -> str:
    """Return how aiohttp shall match this path: a parameter at its end is no word that another path has there.

    Without that `/jobs/{id}` would also stand for `/jobs/cancel_all`, with methods that are not served there.
    """
    folder, _, last = path.rpartition("/")
    words = sorted(word for parent, _, word in (other.rpartition("/") for other in paths) if parent == folder)
    fixed = "|".join(re.escape(word) for word in words if not word.startswith("{"))
    if not last.startswith("{") or not fixed:
        return path
    return f"{folder}/{last[:-1]}:(?!(?:{fixed})/?$){_ONE_WORD}}}"


@web.middleware
async def _observe(request: web.Request, handler: WebHandler) -> web.StreamResponse:
    # A new trace's id is new to the request too; a trace that a client continues may have many.
    minted = secrets.token_hex(16) if continue_trace(request.headers) else start_trace()
    presented = request.headers.get(REQUEST_ID, "")
    request_id = presented if _REQUEST_ID.fullmatch(presented) else minted
    request[REQUEST_ID_KEY] = request_id
    bind(request=request_id)
    started, code = perf_counter(), "499"
    metrics.active_requests.inc()
    try:
        response = await handler(request)
        code = str(response.status)
        return response
    finally:
        metrics.active_requests.dec()
        method = request.method if request.method in _METHODS else "other"
        labels, seconds = (route_of(request), method, code), perf_counter() - started
        asyncio.get_running_loop().call_soon(_count, labels, seconds)  # the answer goes first


def _count(labels: tuple[str, str, str], seconds: float) -> None:
    metrics.request_seconds.labels(*labels).observe(seconds)


async def _expect(request: web.Request) -> None:
    """Only `100-continue` has a meaning; any other expectation may be ignored (RFC 9110 §10.1.1)."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers.popall(hdrs.SERVER, None)
    headers["X-Content-Type-Options"] = "nosniff"
    request_id = request.get(REQUEST_ID_KEY)
    if request_id is not None:
        headers[REQUEST_ID] = request_id
    headers.update(request.get(rates.HEADERS, _NO_HEADERS))
