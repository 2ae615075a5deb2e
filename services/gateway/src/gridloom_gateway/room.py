"""Room for large bodies: so many bytes of them are in memory at once, and who comes then waits for a while."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from gridloom_domain.errors import Unavailable

_PATIENCE_SECONDS: Final = 20.0
_RETRY_AFTER_SECONDS: Final = 5.0


class Room:
    """`most_bytes` at once; first come, first served. A body larger than that has the room to itself."""

    def __init__(self, most_bytes: int, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._most_bytes = most_bytes
        self._free_bytes = most_bytes
        self._patience_seconds = patience_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size_bytes: int) -> int:
        """Take room and return how much: it has to be left again. Raises `Unavailable` if none comes free for long."""
        size_bytes = min(size_bytes, self._most_bytes)
        if not self._waiting and size_bytes <= self._free_bytes:
            self._free_bytes -= size_bytes
            return size_bytes
        place = (size_bytes, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._patience_seconds):
                await place[1]
        except BaseException as error:
            self._give_up(place)
            if isinstance(error, TimeoutError):
                message = "too many large requests are under way; try again"
                raise Unavailable(message, retry_after_seconds=_RETRY_AFTER_SECONDS) from None
            raise
        return size_bytes

    def leave(self, size_bytes: int) -> None:
        """Give room back."""
        self._free_bytes += size_bytes
        while self._waiting and self._waiting[0][0] <= self._free_bytes:
            size, admitted = self._waiting.popleft()
            if not admitted.cancelled():
                self._free_bytes -= size
                admitted.set_result(None)

    def _give_up(self, place: tuple[int, asyncio.Future[None]]) -> None:
        """Leave the line, or the room if somebody let us in at the very moment."""
        size, admitted = place
        if place in self._waiting:
            self._waiting.remove(place)
            self.leave(0)
        elif admitted.done() and not admitted.cancelled():
            self.leave(size)
