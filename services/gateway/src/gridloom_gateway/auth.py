"""Who is calling? Reads the `Authorization` header, believes a key for a short while, and limits who may be wrong.

Unknown, revoked, expired and misspelled keys look the same from outside. A wrong checksum never reaches the database.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn

from gridloom_contract.fleet import KeyRevoked
from gridloom_domain.errors import Forbidden, RateLimited, Unauthenticated
from gridloom_gateway import keys
from gridloom_gateway.limits import FailureLimit
from gridloom_gateway.metrics import auth_failures
from gridloom_gateway.people import Account, ApiKey, Caller
from gridloom_kit.clock import Clock

_MAX_REMEMBERED = 50_000
_SCHEMES = frozenset({"bearer", "token"})
_NOTHING = b"\x00" * 32

Lookup = Callable[[str], Awaitable[tuple[ApiKey, Account] | None]]


@dataclass(slots=True)
class _Remembered:
    """What the database said of a kid. `caller` is None if it opens nothing, `digest` empty until it was right."""

    verifier: bytes
    caller: Caller | None
    is_disabled: bool
    until: float
    digest: bytes = b""


class Authenticator:
    """Answers for API keys. `lookup` asks the database; `limit` is shared with whoever else checks credentials."""

    def __init__(self, lookup: Lookup, limit: FailureLimit, clock: Clock, *, pepper: str, cache_seconds: float) -> None:
        self._lookup = lookup
        self._limit = limit
        self._clock = clock
        self._pepper = pepper.encode()
        self._cache_seconds = cache_seconds
        self._remembered: dict[str, _Remembered] = {}
        self._used: set[str] = set()

    async def caller(self, header: str | None, address: str) -> Caller:
        """Return whose key it is. Raises `Unauthenticated`, `Forbidden` (account disabled) or `RateLimited`."""
        presented = credentials_in(header)
        kid = keys.kid_in(presented)
        remembered = self._remembered.get(kid) if kid else None
        if remembered is None or remembered.until <= self._clock.monotonic():
            remembered = await self._look_up(kid, presented, address)
        if remembered.caller is None or not self._is_right(remembered, presented):
            self._refuse(address)
        if remembered.is_disabled:
            raise Forbidden("this account is disabled")
        self._used.add(remembered.caller.kid)
        return remembered.caller

    async def forget(self, message: KeyRevoked) -> None:
        """Hear that a key is revoked or its account changed: ask the database next time."""
        self._remembered.pop(message.kid, None)

    def take_used(self) -> list[str]:
        """Return the kids used since the last call."""
        used, self._used = list(self._used), set()
        return used

    async def _look_up(self, kid: str | None, presented: str, address: str) -> _Remembered:
        refuse_if_blocked(self._limit, address)
        if kid is None or not keys.is_well_formed(presented):
            self._refuse(address)
        found = await self._lookup(kid)
        remembered = self._judge(found)
        if len(self._remembered) >= _MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[kid] = remembered
        return remembered

    def _is_right(self, remembered: _Remembered, presented: str) -> bool:
        """Compare in constant time. Once right, a key's plain hash is remembered: the HMAC costs five times more."""
        digest = sha256(presented.encode("utf-8", "surrogatepass")).digest()
        if remembered.digest:
            return hmac.compare_digest(remembered.digest, digest)
        is_right = hmac.compare_digest(remembered.verifier, keys.verifier(self._pepper, presented))
        if is_right:
            remembered.digest = digest
        return is_right

    def _judge(self, found: tuple[ApiKey, Account] | None) -> _Remembered:
        until = self._clock.monotonic() + self._cache_seconds
        if found is None:
            return _Remembered(_NOTHING, None, is_disabled=False, until=until)
        key, account = found
        now = self._clock.now()
        if key.expires_at is not None:
            until = min(until, self._clock.monotonic() + max(0.0, (key.expires_at - now).total_seconds()))
        caller = Caller(account.id, key.kid, frozenset(key.scopes), account.priority_boost)
        valid = caller if key.is_valid_at(now) else None
        return _Remembered(key.verifier, valid, is_disabled=account.disabled_at is not None, until=until)

    def _refuse(self, address: str) -> NoReturn:
        auth_failures.labels("key").inc()
        self._limit.note_failure(address)
        refuse_if_blocked(self._limit, address)
        raise Unauthenticated("the API key is not valid")


class AdminGate:
    """Admits whoever presents the admin key."""

    def __init__(self, admin_key: str, limit: FailureLimit) -> None:
        self._digest = sha256(admin_key.encode()).digest()
        self._limit = limit

    def admit(self, header: str | None, address: str) -> None:
        """Return if the header holds the admin key. Raises `Unauthenticated` or `RateLimited`."""
        refuse_if_blocked(self._limit, address)
        presented = credentials_in(header)
        if not hmac.compare_digest(self._digest, sha256(presented.encode("utf-8", "surrogatepass")).digest()):
            auth_failures.labels("admin_key").inc()
            self._limit.note_failure(address)
            raise Unauthenticated("the admin key is not valid")


def credentials_in(header: str | None) -> str:
    """Return what follows `Bearer` or `Token`. Raises `Unauthenticated` if there is no such thing."""
    scheme, _, presented = (header or "").strip().partition(" ")
    if scheme.lower() not in _SCHEMES or not presented:
        raise Unauthenticated("no API key: send it as `Authorization: Bearer <key>`")
    return presented.strip()


def refuse_if_blocked(limit: FailureLimit, address: str) -> None:
    """Raise `RateLimited` while this address has failed too often."""
    wait = limit.wait_seconds(address)
    if wait > 0:
        auth_failures.labels("too_many").inc()
        raise RateLimited("too many failed authentications from this address", retry_after_seconds=wait)
