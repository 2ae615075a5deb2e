"""/openapi.json and /docs: the description of what is served, and a page to try it, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as WebHandler

from gridloom_contract.fault import FaultCode
from gridloom_domain.errors import NotFound
from gridloom_gateway.people import Caller
from gridloom_gateway.route import JSON, Audience, Dialect, Render, Route

_HTML: Final = "text/html"
_SCRIPT: Final = "text/javascript"
_STYLE: Final = "text/css"
_BUNDLED: Final = {
    "swagger-ui-bundle.js": _SCRIPT,
    "swagger-ui-standalone-preset.js": _SCRIPT,
    "swagger-ui.css": _STYLE,
    "favicon-32x32.png": "image/png",
}
_OURS: Final = {"page.js": _SCRIPT, "page.css": _STYLE}
_DOCUMENT: Final = "/openapi.json"
_APIS: Final = "apis.json"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Docs:
    """`document` is the OpenAPI description of everything, encoded once when that is known."""

    def __init__(self) -> None:
        self.document = b"{}"
        bundle = _bundle()
        ours = files(__package__) / "docs_page"
        self._assets = {name: ((bundle / name).read_bytes(), kind) for name, kind in _BUNDLED.items()}
        self._assets |= {name: ((ours / name).read_bytes(), kind) for name, kind in _OURS.items()}
        self._page = (ours / "index.html").read_bytes()

    def publish(self, document: object, dialects: Sequence[Dialect]) -> None:
        """Serve this description, and tell the page where those of the dialects are."""
        self.document = msgspec.json.encode(document)
        each = [{"name": dialect.name, "url": f"{dialect.mounts[0]}{_DOCUMENT}"} for dialect in dialects]
        apis = [{"name": "everything", "url": _DOCUMENT}, *each]
        self._assets[_APIS] = (msgspec.json.encode(apis), JSON)

    async def openapi(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /openapi.json."""
        return _static(self.document, JSON)

    async def page(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /docs."""
        return _static(self._page, _HTML)

    async def asset(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """GET /docs/{asset}."""
        found = self._assets.get(request.match_info["asset"])
        if found is None:
            raise NotFound("there is no such file")
        return _static(*found)


def answering(describe: Callable[[], object]) -> WebHandler:
    """Return a handler that answers with this description, made when the first one asks."""

    @cache
    def content() -> bytes:
        return msgspec.json.encode(describe())

    async def handler(_request: web.Request) -> web.StreamResponse:
        return _static(content(), JSON)

    return handler


def dialect(docs: Docs, render: Render, statuses: dict[FaultCode, int]) -> Dialect:
    """Return the description's own routes. They belong to no API, so their errors are rendered by `render`."""
    return Dialect(
        name="about",
        audience=Audience.ANYONE,
        routes=(
            Route("GET", _DOCUMENT, docs.openapi, "This description", response=dict),
            Route("GET", "/docs", docs.page, "A page to read and try it", response=str, media=_HTML),
            Route("GET", "/docs/{asset}", docs.asset, "A file of that page", response=str, media="*/*"),
        ),
        render=render,
        statuses=statuses,
        error=None,
    )


def _bundle() -> Path:
    """Where Swagger UI lies. Only its files are wanted: its package is not imported, which would take a second."""
    found = find_spec("swagger_ui")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("Swagger UI is not installed: it comes with swagger-ui-py")
    return Path(found.submodule_search_locations[0]) / "static"


def _static(body: bytes, kind: str) -> web.Response:
    headers = {
        hdrs.CONTENT_TYPE: kind if kind.startswith("image/") else f"{kind}; charset=utf-8",
        hdrs.CACHE_CONTROL: "no-cache",
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(body=body, headers=headers)
