"""A receiver of webhooks on this machine, as a customer's server would be one: it believes what is signed."""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from gridloom_kit.clock import Clock, SystemClock
from gridloom_local.servers import LOOPBACK

PATH: Final = "/hook"
TOLERANCE_SECONDS: Final = 300
"""How old a request may be: one that somebody recorded must not be worth anything later."""


@dataclass(frozen=True)
class Received:
    """One request. Header names are in lower case."""

    method: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime


class Receiver:
    """Takes whatever is posted to `url`, and answers 204 at once."""

    def __init__(self, clock: Clock) -> None:
        self.url = ""
        self._clock = clock
        self._arrived: asyncio.Queue[Received] = asyncio.Queue()

    async def next(self, within_seconds: float) -> Received:
        """Return the next request. Raises TimeoutError if none comes in time."""
        async with asyncio.timeout(within_seconds):
            return await self._arrived.get()

    async def take(self, request: web.Request) -> web.Response:
        """Keep a request for `next`."""
        at = self._clock.now()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._arrived.put_nowait(Received(request.method, headers, await request.read(), at))
        return web.Response(status=204)


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Listen on a free port of this machine, and of this machine alone."""
    receiver, app = Receiver(SystemClock()), web.Application()
    app.router.add_route("*", PATH, receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        receiver.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}{PATH}"
        yield receiver
    finally:
        await runner.cleanup()


def problems_with(received: Received, secret: str, api_key: str) -> list[str]:
    """Return why the request is not to be believed: the checks that every receiver should make. None: it is authentic.

    `secret` is the account's `whsec_…`, `api_key` the one that submitted the job.
    """
    sent_at = received.headers.get("webhook-timestamp", "")
    age = abs(received.at.timestamp() - int(sent_at)) if sent_at.isdigit() else None
    checks = {
        "webhook-timestamp is too old, or from the future": age is not None and age <= TOLERANCE_SECONDS,
        "webhook-signature was made with another secret": _is_signed(received, secret),
        "X-Vibe-Signature was made with another API key": _is_signed_with_key(received, api_key),
    }
    return [problem for problem, holds in checks.items() if not holds]


def _is_signed(received: Received, secret: str) -> bool:
    """Standard Webhooks: HMAC-SHA256 over id, time and body; there may be several signatures, with blanks between."""
    headers = received.headers
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + received.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return any(_same(expected, given) for given in headers.get("webhook-signature", "").split())


def _is_signed_with_key(received: Received, api_key: str) -> bool:
    expected = "sha256=" + hmac.digest(api_key.encode(), received.body, "sha256").hex()
    return _same(expected, received.headers.get("x-vibe-signature", ""))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
