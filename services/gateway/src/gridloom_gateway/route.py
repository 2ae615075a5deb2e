"""What a dialect offers: a table of routes, from which it is served and described."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec
from aiohttp import web

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.quota import RateRule
from gridloom_domain.errors import NotFound
from gridloom_domain.rates import RateDecision
from gridloom_gateway.filling import Rendered
from gridloom_gateway.people import Caller

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
CSV: Final = "text/csv"
FORM: Final = "multipart/form-data"
_MATCHED = re.compile(r"(?<=\w):[^{}]*(?=})")


class NoSuchRoute(NotFound):
    """The path leads nowhere. Some APIs tell this from a thing that is not there."""


class Audience(Enum):
    """Who may call a route."""

    ACCOUNT = "account"
    ADMIN = "admin"
    ANYONE = "anyone"


NOBODY: Final = Caller(account="", kid="", scopes=frozenset())
"""The caller of a route that needs no account."""

Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]
Render = Callable[[FaultError, str], web.Response]
"""`render(error, request_id)` returns the error in the dialect's own shape."""


@dataclass(frozen=True)
class Route:
    """One row: `handler(request, caller)` answers with `status` and a `response`. `path` is below the mount.

    `takes` is the media type of a `request`. `also_as` are further media types, texts or events, in which a client
    may have the answer. `rate_group` is what its calls count in if a rule is set for it (`replicate.create`), else
    they count in the dialect's group.
    `gives` says which path parameter of other routes is found where in the answer (`("id", "job_id")`).
    With `accepted` it may also answer 202 with that: what was asked for will be done.
    `is_made_under_id` says that all it does is make one thing, named by `Desk.mint(caller)`: done twice under one id it
    is done once.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    response: Any
    status: int = 200
    request: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    faults: tuple[FaultCode, ...] = ()
    scope: str | None = None
    takes: str = JSON
    media: str = JSON
    also_as: tuple[str, ...] = ()
    gives: tuple[tuple[str, str], ...] = ()
    rate_group: str | None = None
    is_made_under_id: bool = False
    accepted: Any = None

    @property
    def shown_path(self) -> str:
        """The path without what its parameters match (`{id:.+}` takes slashes, too)."""
        return _MATCHED.sub("", self.path)


@dataclass(frozen=True)
class Dialect:
    """A public API as a value. A body that is no JSON gets `malformed_status`, if that is not the one of `invalid`.

    `rates` are the limits of keys whose plan says nothing of that group; `rate_headers` spells a decision as this API
    documents it, for every answer. With `document`, what GET answers for a job, its jobs may have webhooks.
    The table in `app.py` says where it is served: at `mounts`, of which the first is the canonical one, and under a
    host name of its own at `own_mounts`.
    """

    name: str
    audience: Audience
    routes: tuple[Route, ...]
    render: Render
    statuses: dict[FaultCode, int]
    error: type[msgspec.Struct] | None
    malformed_status: int | None = None
    rates: tuple[RateRule, ...] = ()
    rate_headers: Callable[[RateDecision], dict[str, str]] | None = None
    document: Callable[[str, str], Awaitable[Rendered]] | None = None
    mounts: tuple[str, ...] = ()
    own_mounts: tuple[str, ...] = ()
