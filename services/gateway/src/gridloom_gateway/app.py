"""The HTTP application: every dialect a sub-application with its own errors, inside what all requests share."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Collection, Sequence
from time import perf_counter
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as WebHandler
from aiohttp.typedefs import Middleware

from gridloom_contract.fault import FaultError
from gridloom_domain.errors import Internal, Invalid, MethodNotAllowed, NotFound, Unavailable
from gridloom_gateway import metrics, rates
from gridloom_gateway.entrance import Entrance
from gridloom_gateway.reading import too_large
from gridloom_gateway.route import Dialect, Render
from gridloom_kit.log import bind, get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_kit.trace import continue_trace, start_trace

log = get_logger()

REQUEST_ID: Final = "X-Request-Id"
REQUEST_ID_KEY: Final = web.RequestKey("request_id", str)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ONE_WORD: Final = "[^{}/]+"
_UNROUTED: Final = "unrouted"
_METHODS: Final = frozenset(hdrs.METH_ALL)
_RETRY_AFTER_SECONDS: Final = 2.0
_NO_HEADERS: Final[dict[str, str]] = {}


def build_app(
    dialects: Sequence[Dialect], entrance: Entrance, fallback: Render, max_body_bytes: int
) -> web.Application:
    """Return the application. `fallback` renders the errors of paths below no mount."""
    app = web.Application(middlewares=[_observe, _render_faults(fallback)], client_max_size=max_body_bytes)
    app.on_response_prepare.append(_finish_headers)
    # Longer mounts first: /api/v1/v1 lies below /api/v1.
    mounts = sorted(
        ((mount, dialect) for dialect in dialects for mount in dialect.mounts), key=lambda pair: -len(pair[0])
    )
    for mount, dialect in mounts:
        if mount:
            inner = web.Application(middlewares=[_render_faults(dialect.render)])
            _add_routes(inner, dialect, entrance)
            app.add_subapp(mount, inner)
        else:
            _add_routes(app, dialect, entrance)
    return app


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
        metrics.request_seconds.labels(_route_of(request), method, code).observe(perf_counter() - started)


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical.rstrip("/") if resource is not None else _UNROUTED


def _render_faults(render: Render) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: WebHandler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            response = render(
                MethodNotAllowed(f"{request.method} is not allowed here, but {allowed}"), request[REQUEST_ID_KEY]
            )
            response.headers[hdrs.ALLOW] = allowed
            return response
        except Exception as error:  # noqa: BLE001 - every error is answered, in the dialect's shape
            return render(_fault_of(request, error), request[REQUEST_ID_KEY])

    return middleware


def _fault_of(request: web.Request, error: Exception) -> FaultError:
    if isinstance(error, FaultError):
        return error
    if isinstance(error, web.HTTPNotFound):
        return NotFound("there is no such route")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return too_large(request)
    if isinstance(error, web.HTTPException) and error.status < 500:
        return Invalid(error.reason)
    if isinstance(error, DatabaseError):
        log.error("http.without_database", route=_route_of(request), err=type(error).__name__)
        return Unavailable("the record cannot be reached", retry_after_seconds=_RETRY_AFTER_SECONDS)
    log.error("http.failed", route=_route_of(request), exc_info=error)
    return Internal("an internal error; it has been logged")


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
