"""The public port: who may hold a connection and for how long, and how it is closed without cutting anyone off.

aiohttp has no time limit for headers and no limit for connections; both are added here (OPS.md §0, finding 6).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from gridloom_gateway import metrics
from gridloom_kit.log import get_logger

log = get_logger()

_LINGER_SECONDS: Final = 2.0
_BACKLOG: Final = 1024
_MAX_LINE_BYTES: Final = 8190
_MAX_HEADERS: Final = 100


@dataclass(frozen=True)
class Limits:
    """What a client may take."""

    header_timeout_seconds: float
    keepalive_seconds: float
    max_connections: int
    stop_grace_seconds: float


def bare_answer(status: str, word: str, message: str) -> bytes:
    """Return an answer for a connection that never got as far as a request."""
    body = f'{{"error":"{word}","message":"{message}"}}'
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}"
    ).encode()


_HARMLESS: Final = {"X-Content-Type-Options": "nosniff"}
_NO_REQUEST: Final = '{"error":"bad_request","message":"this is not a valid HTTP request"}'
_BROKEN: Final = '{"error":"internal","message":"an internal error; it has been logged"}'
_TOO_SLOW: Final = bare_answer("408 Request Timeout", "request_timeout", "the request headers did not arrive in time")
_TOO_MANY: Final = bare_answer("503 Service Unavailable", "unavailable", "too many connections; try again")


class _PlainResponse(web.Response):
    """A response that does not say which server it comes from, even where no application finishes its headers."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class Connection(web.RequestHandler):
    """One client's connection: refused beyond the limit, cut off if its headers do not come in time."""

    __slots__ = ("_counter", "_header_timer", "_limits")

    def __init__(self, manager: web.Server, limits: Limits, counter: ConnectionCounter, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limits = limits
        self._counter = counter
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it in one word if there are too many."""
        super().connection_made(transport)
        if not self._counter.take():
            self._cut_off(_TOO_MANY, "connections")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._counter.release()
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; if they leave a request's head unfinished, its time runs."""
        seen = self._request_count
        super().data_received(data)
        if self._request_count != seen:
            self._stop_timer()
        elif self._waiter is not None and self._header_timer is None and not self._force_close:
            delay = self._limits.header_timeout_seconds
            self._header_timer = asyncio.get_running_loop().call_later(delay, self._cut_off, _TOO_SLOW, "slow_headers")

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP request: without a traceback, and without a log line that an attacker could write."""
        metrics.connections_refused.labels("bad_request").inc()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("http.connection_failed", exc_info=exc)
        else:
            log.debug("http.no_request", remote=request.remote, err=message)
        text = _BROKEN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _NO_REQUEST
        response = _PlainResponse(text=text, status=status, content_type="application/json", headers=_HARMLESS)
        response.force_close()
        return response

    def _cut_off(self, answer: bytes, reason: str) -> None:
        metrics.connections_refused.labels(reason).inc()
        if self.transport is not None:
            self.transport.write(answer)
        self.force_close()

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class ConnectionCounter:
    """Counts open connections, the refused ones until they are gone."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._open = 0

    def take(self) -> bool:
        """Count a connection; False if it is one too many."""
        self._open += 1
        metrics.connections_open.set(self._open)
        return self._open <= self._maximum

    def release(self) -> None:
        """Count a connection no more."""
        self._open -= 1
        metrics.connections_open.set(self._open)


class Listener:
    """Serves an application on a port. `run` is a service's task; `address` is known once `is_listening` is set."""

    def __init__(
        self, app: web.Application, address: tuple[str, int], limits: Limits, before_stop: Callable[[], None]
    ) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=limits.stop_grace_seconds, handler_cancellation=True
        )
        self._wanted = address
        self._limits = limits
        self._before_stop = before_stop
        self.is_listening = asyncio.Event()
        self.address: tuple[str, int] = address

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`; then take no more connections, end the streams, let requests finish. Raises OSError."""
        await self._runner.setup()
        try:
            server = await self._listen()
            self.is_listening.set()
            log.info("http.listening", host=self.address[0], port=self.address[1])
            await stop.wait()
            server.close()
            self._before_stop()
        finally:
            await self._runner.cleanup()

    async def probe(self) -> None:
        """Raise unless the port is open."""
        if not self.is_listening.is_set():
            raise ConnectionError("the public port is not open yet")

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("the application was not set up")
        counter = ConnectionCounter(self._limits.max_connections)

        def connection() -> Connection:
            return Connection(
                manager,
                self._limits,
                counter,
                loop=loop,
                access_log=None,
                keepalive_timeout=self._limits.keepalive_seconds,
                lingering_time=_LINGER_SECONDS,
                max_line_size=_MAX_LINE_BYTES,
                max_field_size=_MAX_LINE_BYTES,
                max_headers=_MAX_HEADERS,
                # Compressed bodies are refused, so nothing must ever be inflated.
                auto_decompress=False,
            )

        host, port = self._wanted
        server = await loop.create_server(connection, host, port, backlog=_BACKLOG, reuse_address=True)
        self.address = (host, next(int(one.getsockname()[1]) for one in server.sockets if one.family != socket.AF_UNIX))
        return server
