"""Access of workers: their identities and tokens, and ending the connection of one that is revoked.

A token is `glw_<worker>_<secret>`. Only an HMAC of it under a pepper is stored: who steals the database has no token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime
from typing import Protocol

from gridloom_contract.subjects import worker_shard
from gridloom_kit.bus import Bus
from gridloom_kit.system import end_connection
from gridloom_scheduler.record import Connection, WorkerRecord

_TOKEN = re.compile(r"glw_(w[a-z2-7]{12})_([a-z2-7]{52})", re.ASCII)
_ID_BYTES = 8
_SECRET_BYTES = 32
_ID_CHARACTERS = 12


class Randomness(Protocol):
    """Secrets as an argument."""

    def __call__(self, size: int, /) -> bytes:
        """Return `size` bytes of a cryptographic source."""
        ...


class Tokens:
    """Makes and checks worker tokens. `pepper` is the service's secret."""

    def __init__(self, pepper: str, randomness: Randomness) -> None:
        self._pepper = pepper.encode()
        self._randomness = randomness

    def make(self) -> tuple[str, str]:
        """Return a new worker id and its token."""
        worker = "w" + _base32(self._randomness(_ID_BYTES))[:_ID_CHARACTERS]
        return worker, f"glw_{worker}_{_base32(self._randomness(_SECRET_BYTES))}"

    def verifier(self, token: str) -> str:
        """Return what is stored of a token."""
        return hmac.new(self._pepper, token.encode(), hashlib.sha256).hexdigest()

    def worker_of(self, token: str) -> str | None:
        """Return the worker a token claims to be of; None if it is no token at all."""
        match = _TOKEN.fullmatch(token)
        return match.group(1) if match else None


def new_worker(
    tokens: Tokens, name: str, account: str | None, serves: tuple[str, ...], now: datetime
) -> tuple[WorkerRecord, str]:
    """Return a new worker and its token, which is shown once."""
    worker, token = tokens.make()
    record = WorkerRecord(
        id=worker,
        name=name,
        shard=worker_shard(worker),
        verifier=tokens.verifier(token),
        created_at=now,
        account=account,
        serves=serves,
    )
    return record, token


class Bouncer:
    """Ends connections, as the user of the system account."""

    def __init__(self, system: Bus) -> None:
        self._system = system

    async def kick(self, connection: Connection | None) -> None:
        """End a worker's connection. It may come back, and is then refused by the callout."""
        if connection is not None:
            await end_connection(self._system, connection.server, connection.client)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
