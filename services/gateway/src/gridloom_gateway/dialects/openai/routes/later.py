"""What this API has and this grid has not yet: said plainly, so that nobody looks for a mistake of their own."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gridloom_domain.errors import NotFound
from gridloom_gateway.dialects.openai.wire.errors import Error
from gridloom_gateway.people import Caller
from gridloom_gateway.route import Route

_MISSING: Final = (
    ("POST", "/audio/speech", "speech"),
    ("POST", "/audio/transcriptions", "transcription"),
    ("POST", "/audio/translations", "transcription"),
    ("POST", "/images/generations", "image generation"),
    ("POST", "/images/edits", "image editing"),
    ("POST", "/images/variations", "image editing"),
    ("POST", "/music/generations", "music generation"),
    ("POST", "/videos/generations", "video generation"),
    ("POST", "/voice/generations", "voice cloning"),
    ("POST", "/3d/generations", "mesh generation"),
    ("GET", "/workflows/templates", "workflows"),
    ("GET", "/workflows/runs", "workflows"),
    ("POST", "/workflows/runs", "workflows"),
    ("GET", "/workflows/runs/{id}", "workflows"),
    ("POST", "/workflows/runs/{id}/steps/{step}/approve", "workflows"),
    ("POST", "/workflows/runs/{id}/steps/{step}/reject", "workflows"),
)


def routes() -> tuple[Route, ...]:
    """Return a row for everything that is missing."""
    return tuple(_row(method, path, what) for method, path, what in _MISSING)


def _row(method: str, path: str, what: str) -> Route:
    async def refuse(_request: web.Request, _caller: Caller) -> web.StreamResponse:
        raise NotFound(f"this grid has no {what} yet")

    return Route(method, path, refuse, f"Not served yet: {what}", response=Error, status=404)
