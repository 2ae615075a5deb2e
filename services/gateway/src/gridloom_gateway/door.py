"""The door of every route: who is calling, and may they. Keys in query strings are refused: they end up in logs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import unquote

from aiohttp import hdrs, web

from gridloom_domain.errors import Forbidden, Unauthenticated
from gridloom_gateway import keys
from gridloom_gateway.address import Addresses
from gridloom_gateway.auth import AdminGate, Authenticator, credentials_in
from gridloom_gateway.people import Caller
from gridloom_gateway.route import NOBODY, Audience, Route

Admit = Callable[[web.Request], Awaitable[Caller]]

_KEY_NAMES: Final = frozenset({"api_key", "apikey", "access_token", "token", "key", "authorization"})


class Door:
    """Admits callers to routes."""

    def __init__(self, authenticator: Authenticator, admin: AdminGate, addresses: Addresses) -> None:
        self._authenticator = authenticator
        self._admin = admin
        self._addresses = addresses

    def of(self, audience: Audience, route: Route) -> Admit:
        """Return what admits the callers of this route; it raises `Unauthenticated`, `Forbidden` or `RateLimited`."""
        kinds = {
            Audience.ACCOUNT: self._account(route.scope),
            Audience.ADMIN: self._operator,
            Audience.ANYONE: _anyone,
        }
        return kinds[audience]

    def _account(self, scope: str | None) -> Admit:
        async def admit(request: web.Request) -> Caller:
            _refuse_key_in_query(request)
            header = request.headers.get(hdrs.AUTHORIZATION)
            caller = await self._authenticator.caller(header, self._addresses.client_of(request))
            if scope is not None and scope not in caller.scopes:
                raise Forbidden(f"this key lacks the scope {scope}")
            return caller

        return admit

    async def _operator(self, request: web.Request) -> Caller:
        _refuse_key_in_query(request)
        self._admin.admit(request.headers.get(hdrs.AUTHORIZATION), self._addresses.client_of(request))
        return NOBODY


def key_of(request: web.Request) -> str:
    """Return the API key with which an admitted caller came. To be used at once and kept nowhere."""
    return credentials_in(request.headers.get(hdrs.AUTHORIZATION))


async def _anyone(_request: web.Request) -> Caller:
    return NOBODY


def _refuse_key_in_query(request: web.Request) -> None:
    text = request.rel_url.raw_query_string
    if not text:
        return
    if keys.PREFIX in unquote(text) or not _KEY_NAMES.isdisjoint(name.lower() for name in request.rel_url.query):
        raise Unauthenticated("keys in the query string are refused: send `Authorization: Bearer <key>`")
