"""Bodies that do not come with their headers: gathered piece by piece, the large ones as far as there is room."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from gridloom_gateway.room import Room

LARGE_BYTES: Final = 512 * 1024
"""What is larger than this needs room."""
_BODY: Final = web.RequestKey("body", bytes)
_TAKEN: Final = web.RequestKey("taken_bytes", int)


class Gathering:
    """Gathers bodies. A large one has its room from before it is read until its request is answered."""

    def __init__(self, room: Room, timeout_seconds: float) -> None:
        self._room = room
        self._timeout_seconds = timeout_seconds

    async def body_of(self, request: web.Request) -> bytes:
        """Return the body; asked again before it was forgotten, the same.

        Raises `TimeoutError`, `Unavailable` (no room), or aiohttp's own errors.
        """
        if _BODY not in request:
            if (request.content_length or 0) > LARGE_BYTES:
                await self._take_room(request, request.content_length or 0)
            async with asyncio.timeout(self._timeout_seconds):
                request[_BODY] = await self._gathered(request)
        return request[_BODY]

    @staticmethod
    def has_body_of(request: web.Request) -> bool:
        """Say whether the body was gathered and not forgotten yet."""
        return _BODY in request

    @staticmethod
    def forget(request: web.Request) -> None:
        """Let go of the body. `request.read()` would keep it for as long as the request lasts."""
        request.pop(_BODY, None)

    def leave(self, request: web.Request) -> None:
        """The request is answered: give back the room that its body took."""
        if _TAKEN in request:
            self._room.leave(request.pop(_TAKEN))

    async def _gathered(self, request: web.Request) -> bytes:
        pieces, size_bytes = [], 0
        async for piece in request.content.iter_any():
            size_bytes += len(piece)
            if size_bytes > request.client_max_size:
                raise web.HTTPRequestEntityTooLarge(request.client_max_size, size_bytes)
            if size_bytes > LARGE_BYTES and _TAKEN not in request:
                await self._take_room(request, request.client_max_size)  # it did not say how much will come
            pieces.append(piece)
        return b"".join(pieces)

    async def _take_room(self, request: web.Request, size_bytes: int) -> None:
        request[_TAKEN] = await self._room.enter(size_bytes)
