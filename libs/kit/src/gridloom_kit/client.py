"""A NATS client that really connects and comes back from every error.

nats-py closes for ever on any `-ERR` it does not know (an expired credential, a payload too large), and `connect` may
return without a connection when an auth callout is silent. Both are mended here.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import ConnectionReconnectingError
from nats.errors import Error as NatsError

from gridloom_kit import metrics
from gridloom_kit.log import get_logger, redact
from gridloom_kit.settings import ServiceSettings

log = get_logger()

_RECONNECT_WAIT_SECONDS = 0.2
_FIRST_LOGIN_SECONDS = 0.5
_LONGEST_LOGIN_SECONDS = 8.0


@dataclass(frozen=True)
class Patience:
    """How long to keep trying to connect:
    to a server that is not there, and to one that refuses (its auth callout may be starting).
    """

    unreachable_seconds: float = 60.0
    refused_seconds: float = 0.0

    def with_error(self, error: Exception) -> float:
        """Return the seconds this error deserves."""
        return self.refused_seconds if "authorization" in str(error).lower() else self.unreachable_seconds


class HardClient(Client):
    """A NATS client that only gives up when it is told to."""

    _unanswered_logins = 0

    async def _process_err(self, err_msg: str) -> None:
        handled_well = "permissions violation" in err_msg.lower() or "stale connection" in err_msg.lower()
        if handled_well or not self.options["allow_reconnect"]:
            await super()._process_err(err_msg)
            return
        metrics.nats_errors.labels("server").inc()
        self._err = NatsError("nats: " + err_msg)
        await self._process_op_err(self._err)

    async def _process_op_err(self, e: Exception) -> None:
        """Connect again whatever state the error finds the client in: only `close` closes it."""
        is_adrift = not (self.is_closed or self.is_reconnecting or self.is_connected or self.is_connecting)
        if is_adrift and self.options["allow_reconnect"]:
            self._status = Client.CONNECTED
        await super()._process_op_err(e)

    async def _connect_to_server(self, s: Any) -> None:
        """Close what a refused attempt left open; the client would only forget it."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        """Log in again with little patience at first, and with more at each further try.

        After a restart of the server everybody comes back at once, and whoever answers for us may be a moment late. The
        server asks once, and would keep us waiting for two seconds.
        """
        if not self.options["allow_reconnect"]:
            await super()._process_connect_init()
            return
        patience_seconds = _FIRST_LOGIN_SECONDS * 2.0**self._unanswered_logins
        try:
            async with asyncio.timeout(min(patience_seconds, _LONGEST_LOGIN_SECONDS)):
                await super()._process_connect_init()
        except TimeoutError:
            self._unanswered_logins += 1
            raise
        self._unanswered_logins = 0

    def abandon_requests(self) -> None:
        """Fail what was asked before the connection broke:
        its answers will never come, and waiting out the time helps nobody.
        """
        for future in list(self._resp_map.values()):
            if not future.done():
                future.set_exception(ConnectionReconnectingError())


def connect_options(settings: ServiceSettings, name: str, inbox_prefix: str, token: str | None) -> dict[str, Any]:
    """Return what `connect` needs to know: who connects, and how stubborn it is."""
    identity = {"token": token} if token else {"user": settings.nats_user, "password": settings.nats_password}
    return {
        **{key: value for key, value in identity.items() if value},
        "name": f"{name}-{os.getpid()}",
        "inbox_prefix": inbox_prefix,
        "reconnect_time_wait": _RECONNECT_WAIT_SECONDS,
        "connect_timeout": 8,
        "ping_interval": 20,
        "max_outstanding_pings": 2,
        "error_cb": _report_error,
        "disconnected_cb": _report_disconnect,
    }


async def connect(url: str, options: dict[str, Any], patience: Patience) -> HardClient:
    """Return a connected client. Raises `nats.errors.Error` or OSError once `patience` is at its end."""
    # nats-py may return from `connect` without a connection (a silent auth callout), so look before believing it.
    started = asyncio.get_running_loop().time()
    while True:
        client = HardClient()
        try:
            # A first attempt that may reconnect would retry a refused credential for ever without a word.
            await client.connect(url, **options, allow_reconnect=False, max_reconnect_attempts=1)
            if not client.is_connected:
                raise NatsError("nats: the server did not complete the connection")
            client.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1}
            return client
        except (TimeoutError, NatsError, OSError) as error:
            await client.close()
            reason = client.last_error or error
            if asyncio.get_running_loop().time() - started > patience.with_error(error):
                raise
            log.warning("bus.waiting_for_nats", url=redact(url), err=str(reason) or type(reason).__name__)
            await asyncio.sleep(_RECONNECT_WAIT_SECONDS)


async def _report_error(error: Exception) -> None:
    metrics.nats_errors.labels(type(error).__name__).inc()
    log.warning("bus.error", kind=type(error).__name__, err=str(error))


async def _report_disconnect() -> None:
    metrics.nats_connected.set(0)
    log.warning("bus.disconnected")
