"""Sends one request to one receiver and says how it ended. Trusts nothing that comes back (OPS §4.3).

No redirects, no cookies, no proxy from the environment, no decompression, a connection for each request, and only so
many bytes of headers and body as the log keeps.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import BytesIO

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)

from gridloom_domain.targets import TargetRules, problem_with
from gridloom_kit.clock import Clock
from gridloom_webhook.guard import BlockedAddress, GuardedResolver, NameNotFound, guarded_sockets
from gridloom_webhook.rules import Answer, class_of, retry_after

MOST_BODY_BYTES = 16 * 1024
KEPT_BYTES = 1024
_MOST_HEADERS = 64
_LARGE_BYTES = 512 * 1024
_MOST_HEADER_BYTES = 4096
_MOST_ERROR_CHARACTERS = 300


@dataclass(frozen=True)
class Patience:
    """Seconds to be connected, and for everything."""

    connect_seconds: float
    total_seconds: float


class Sender:
    """Sends. `rules` say which targets are allowed; they are checked again for each request."""

    def __init__(self, session: ClientSession, rules: TargetRules, clock: Clock) -> None:
        self._session = session
        self._rules = rules
        self._clock = clock

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], patience: Patience) -> Answer:
        """POST and return how it ended; never raises for what a receiver or the network does."""
        started = self._clock.monotonic()
        problem = problem_with(url, self._rules)
        answer = Answer("blocked", error=problem) if problem else await self._try(url, body, headers, patience)
        return replace(answer, duration_seconds=self._clock.monotonic() - started)

    async def _try(self, url: str, body: bytes, headers: Mapping[str, str], patience: Patience) -> Answer:
        timeout = ClientTimeout(total=patience.total_seconds, connect=patience.connect_seconds)
        try:
            async with self._session.post(
                url, data=_payload(body), headers=dict(headers), allow_redirects=False, timeout=timeout
            ) as response:
                return await self._read(response)
        except (TimeoutError, ClientError, OSError, ValueError) as error:
            return Answer(_result_of(error), error=_sentence(error))

    async def _read(self, response: ClientResponse) -> Answer:
        """The status decides; a body that breaks off or never ends changes nothing."""
        try:
            kept, ending = await _first_bytes(response), None
        except (TimeoutError, ClientError, OSError, ValueError) as error:
            kept, ending = b"", f"the answer's body broke off: {_sentence(error)}"
        status = response.status
        return Answer(
            class_of(status),
            status=status,
            response=kept[:KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "�") or None,
            error=ending or (None if 200 <= status < 300 else f"the receiver answered {status}"),
            retry_after_seconds=retry_after(response.headers.get("Retry-After"), self._clock.now()),
        )


@asynccontextmanager
async def open_sender(rules: TargetRules, servers: tuple[str, ...], clock: Clock) -> AsyncIterator[Sender]:
    """Yield a sender; on leaving, what it has open is closed."""
    resolver = GuardedResolver(rules, servers)
    connector = TCPConnector(
        resolver=resolver,
        socket_factory=guarded_sockets(rules),
        use_dns_cache=False,
        force_close=True,
        limit=0,
    )
    try:
        async with ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "Accept"),
            max_line_size=_MOST_HEADER_BYTES,
            max_field_size=_MOST_HEADER_BYTES,
            max_headers=_MOST_HEADERS,
            read_bufsize=MOST_BODY_BYTES,
        ) as session:
            yield Sender(session, rules, clock)
    finally:
        await resolver.close()


def _payload(body: bytes) -> bytes | BytesIO:
    """A large body goes out piece by piece, so that it does not hold up others."""
    return body if len(body) < _LARGE_BYTES else BytesIO(body)


async def _first_bytes(response: ClientResponse) -> bytes:
    """Return the beginning of the body, at most 16 KiB of it; the rest is never read."""
    found = b""
    while len(found) < MOST_BODY_BYTES:
        piece = await response.content.read(MOST_BODY_BYTES - len(found))
        if not piece:
            break
        found += piece
    return found


def _result_of(error: BaseException) -> str:
    if _caused_by(error, BlockedAddress):
        return "blocked"
    if isinstance(error, ClientConnectorDNSError) or _caused_by(error, NameNotFound):
        return "dns"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, (ClientConnectorCertificateError, ClientSSLError)) or _caused_by(error, ssl.SSLError):
        return "tls"
    return "blocked" if isinstance(error, InvalidURL) else "connection"


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind) or isinstance(getattr(error, "os_error", None), kind):
            return True
        error = error.__cause__
    return False


def _sentence(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "the receiver took too long"
    if isinstance(error, ClientConnectorError) and error.os_error.strerror is None:
        return str(error.os_error)[:_MOST_ERROR_CHARACTERS]
    return (str(error) or type(error).__name__)[:_MOST_ERROR_CHARACTERS]
