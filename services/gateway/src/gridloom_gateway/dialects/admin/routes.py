"""The routes of the operator's API: decode, translate, ask the office, translate, encode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from aiohttp import web
from msgspec.json import Decoder

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_gateway import replies
from gridloom_gateway.dialects.admin import translate, wire
from gridloom_gateway.office import Office
from gridloom_gateway.people import Caller
from gridloom_gateway.reading import BodyReader, Malformed, query
from gridloom_gateway.route import Audience, Dialect, Handler, Route

MOUNTS: Final = ("/admin/v1",)

_MALFORMED_STATUS: Final = 400
_BODY: Final = (FaultCode.INVALID, FaultCode.TOO_LARGE, FaultCode.UNSUPPORTED_MEDIA, FaultCode.REQUEST_TIMEOUT)
_ONE: Final = (FaultCode.NOT_FOUND,)
_CHANGE: Final = (FaultCode.NOT_FOUND, FaultCode.CONFLICT)
_GIVES: Final[dict[type[Any], tuple[tuple[str, str], ...]]] = {
    wire.Account: (("account", "id"),),
    wire.IssuedKey: (("kid", "kid"),),
    wire.EnrolledWorker: (("worker", "worker"),),
}
"""Which path parameter a new thing's answer holds, and where."""

_open = Decoder(wire.OpenAccount)
_issue = Decoder(wire.IssueKey)
_enrol = Decoder(wire.EnrolWorker)


@dataclass(frozen=True)
class Admin:
    """The handlers."""

    office: Office
    bodies: BodyReader

    async def open_account(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /accounts."""
        body = await self.bodies.decode(request, _open)
        account = await self.office.accounts.open(body.name, body.priority_boost)
        return replies.json(translate.from_account(account), 201)

    async def accounts(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /accounts."""
        wanted = query(request, wire.PageQuery)
        page = await self.office.accounts.page(wanted.page, wanted.per_page)
        return replies.json(translate.from_page(page, "accounts", wire.Accounts, translate.from_account))

    async def account(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /accounts/{account}."""
        account = await self.office.accounts.get(_account_in(request))
        return replies.json(translate.from_account(account))

    async def set_disabled(self, request: web.Request, _caller: Caller, *, disabled: bool) -> web.StreamResponse:
        """POST /accounts/{account}/disable and …/enable."""
        account = await self.office.accounts.set_disabled(_account_in(request), disabled=disabled)
        return replies.json(translate.from_account(account))

    async def issue_key(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /accounts/{account}/keys."""
        account = _account_in(request)
        body = await self.bodies.decode(request, _issue)
        issued = await self.office.accounts.issue_key(account, translate.to_key_wish(body))
        return replies.json(translate.from_issued(issued), 201)

    async def keys(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /accounts/{account}/keys."""
        wanted = query(request, wire.PageQuery)
        page = await self.office.accounts.keys(_account_in(request), wanted.page, wanted.per_page)
        return replies.json(translate.from_page(page, "keys", wire.Keys, translate.from_key))

    async def rotate_key(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /keys/{kid}/rotate."""
        kid = translate.to_kid(request.match_info["kid"])
        issued = await self.office.accounts.rotate_key(kid, self.office.key_grace_seconds)
        return replies.json(translate.from_issued(issued), 201)

    async def revoke_key(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """DELETE /keys/{kid}."""
        revoked = await self.office.accounts.revoke_key(translate.to_kid(request.match_info["kid"]))
        return replies.json(translate.from_key(revoked))

    async def enrol_worker(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """POST /workers."""
        body = await self.bodies.decode(request, _enrol)
        enrolled = await self.office.fleet.enrol(translate.to_enrolment(body))
        return replies.json(translate.from_enrolled(enrolled), 201)

    async def workers(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /workers."""
        wanted = query(request, wire.PageQuery)
        page = await self.office.fleet.page(wanted.page, wanted.per_page)
        return replies.json(translate.from_page(page, "workers", wire.Workers, translate.from_worker))

    async def revoke_worker(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """DELETE /workers/{worker}."""
        return replies.json(translate.from_worker(await self.office.fleet.revoke(_worker_in(request))))

    async def set_draining(self, request: web.Request, _caller: Caller, *, drain: bool) -> web.StreamResponse:
        """POST /workers/{worker}/drain and …/resume."""
        return replies.json(translate.from_worker(await self.office.fleet.drain(_worker_in(request), drain=drain)))


def dialect(admin: Admin, *others: Route) -> Dialect:
    """Return the operator's API as a value; `others` are routes that other parts of the gateway bring."""
    return Dialect(
        name="admin",
        mounts=MOUNTS,
        audience=Audience.ADMIN,
        routes=(*_account_routes(admin), *_key_routes(admin), *_worker_routes(admin), *others),
        render=render,
        statuses=translate.HTTP,
        error=wire.Error,
        malformed_status=_MALFORMED_STATUS,
    )


def render(error: FaultError, request_id: str) -> web.Response:
    """Return an error as this API spells it."""
    fault = error.fault
    if isinstance(error, Malformed):
        return replies.error(translate.from_fault(fault, request_id, "malformed"), _MALFORMED_STATUS, fault)
    return replies.error(translate.from_fault(fault, request_id), translate.HTTP[fault.code], fault)


def _account_in(request: web.Request) -> str:
    return translate.to_account(request.match_info["account"])


def _worker_in(request: web.Request) -> str:
    return translate.to_worker(request.match_info["worker"])


def _create(path: str, handler: Handler, summary: str, request: type[Any], response: type[Any]) -> Route:
    route = Route("POST", path, handler, summary, response=response, status=201, request=request, faults=_BODY + _ONE)
    return replace(route, gives=_GIVES.get(response, ()))


def _page(path: str, handler: Handler, summary: str, response: type[Any]) -> Route:
    faults = (FaultCode.INVALID, FaultCode.NOT_FOUND)
    return Route("GET", path, handler, summary, response=response, query=wire.PageQuery, faults=faults)


def _account_routes(admin: Admin) -> tuple[Route, ...]:
    disable: Callable[..., Any] = partial(admin.set_disabled, disabled=True)
    enable: Callable[..., Any] = partial(admin.set_disabled, disabled=False)
    one = "/accounts/{account}"
    return (
        _create("/accounts", admin.open_account, "Open an account", wire.OpenAccount, wire.Account),
        _page("/accounts", admin.accounts, "List accounts, newest first", wire.Accounts),
        Route("GET", one, admin.account, "Get an account", response=wire.Account, faults=_ONE),
        Route("POST", f"{one}/disable", disable, "Refuse an account's keys", response=wire.Account, faults=_ONE),
        Route("POST", f"{one}/enable", enable, "Accept an account's keys again", response=wire.Account, faults=_ONE),
    )


def _key_routes(admin: Admin) -> tuple[Route, ...]:
    of_account = "/accounts/{account}/keys"
    return (
        _create(of_account, admin.issue_key, "Issue an API key; it is shown once", wire.IssueKey, wire.IssuedKey),
        _page(of_account, admin.keys, "List an account's keys, newest first", wire.Keys),
        Route(
            "POST",
            "/keys/{kid}/rotate",
            admin.rotate_key,
            "Issue a key in place of another, which ends after a grace period",
            response=wire.IssuedKey,
            status=201,
            faults=(FaultCode.NOT_FOUND, FaultCode.CONFLICT),
        ),
        Route("DELETE", "/keys/{kid}", admin.revoke_key, "Revoke a key at once", response=wire.Key, faults=_ONE),
    )


def _worker_routes(admin: Admin) -> tuple[Route, ...]:
    drain: Callable[..., Any] = partial(admin.set_draining, drain=True)
    resume: Callable[..., Any] = partial(admin.set_draining, drain=False)
    one = "/workers/{worker}"
    return (
        _create("/workers", admin.enrol_worker, "Enrol a worker", wire.EnrolWorker, wire.EnrolledWorker),
        _page("/workers", admin.workers, "List workers, by name", wire.Workers),
        Route("DELETE", one, admin.revoke_worker, "Revoke a worker at once", response=wire.Worker, faults=_ONE),
        Route("POST", f"{one}/drain", drain, "Give a worker nothing new", response=wire.Worker, faults=_CHANGE),
        Route("POST", f"{one}/resume", resume, "Give a worker jobs again", response=wire.Worker, faults=_CHANGE),
    )
