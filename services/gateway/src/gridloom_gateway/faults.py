"""Whatever fails below a mount is answered in the words of the API that is served there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as WebHandler
from aiohttp.typedefs import Middleware

from gridloom_contract.fault import FaultError
from gridloom_domain.errors import Internal, Invalid, MethodNotAllowed, Unavailable
from gridloom_gateway import rates
from gridloom_gateway.reading import too_large
from gridloom_gateway.route import NoSuchRoute, Render
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError

log = get_logger()

REQUEST_ID_KEY: Final = web.RequestKey("request_id", str)
_RETRY_AFTER_SECONDS: Final = 2.0
_UNROUTED: Final = "unrouted"

Headers = Callable[[], dict[str, str]]


def speaking(render: Render, rate_headers: Headers = dict) -> Middleware:
    """Return what renders all that fails. `rate_headers` are for answers to calls that nobody counted."""

    @web.middleware
    async def middleware(request: web.Request, handler: WebHandler) -> web.StreamResponse:
        request[rates.HEADERS] = rate_headers()
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


def route_of(request: web.Request) -> str:
    """Return the pattern of the path, with its mount."""
    resource = request.match_info.route.resource
    return resource.canonical.rstrip("/") if resource is not None else _UNROUTED


def _fault_of(request: web.Request, error: Exception) -> FaultError:
    if isinstance(error, FaultError):
        return error
    if isinstance(error, web.HTTPNotFound):
        return NoSuchRoute("there is no such route")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return too_large(request)
    if isinstance(error, web.HTTPException) and error.status < 500:
        return Invalid(error.reason)
    if isinstance(error, DatabaseError):
        log.error("http.without_database", route=route_of(request), err=type(error).__name__)
        return Unavailable("the record cannot be reached", retry_after_seconds=_RETRY_AFTER_SECONDS)
    log.error("http.failed", route=route_of(request), exc_info=error)
    return Internal("an internal error; it has been logged")
