"""The accounts' signing secrets: made on first use, kept sealed, replaced with a day in which both sign."""

from __future__ import annotations

from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Protocol

from gridloom_kit.clock import Clock
from gridloom_kit.seal import Seal
from gridloom_webhook import sign
from gridloom_webhook.record import SealedSecret

_BOTH_SIGN = timedelta(days=1)
_REMEMBERED_SECONDS = 5.0
_MOST_REMEMBERED = 10_000
_MOST_SECRETS = 4


class Secrets(Protocol):
    """Where sealed secrets are kept."""

    async def find(self, account: str) -> list[SealedSecret]:
        """Return an account's secrets, newest first."""
        ...

    async def make(self, account: str, sealed: str) -> list[SealedSecret]:
        """Give an account its first secret unless it has one."""
        ...

    async def replace(self, account: str, seen: list[SealedSecret], secrets: list[SealedSecret]) -> bool:
        """Replace what was seen."""
        ...


class SigningSecrets:
    """Opens them for signing, and remembers them for a few seconds."""

    def __init__(self, store: Secrets, seal: Seal, clock: Clock) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._remembered: dict[str, tuple[float, list[str]]] = {}

    async def of(self, account: str) -> list[str]:
        """Return the secrets that sign now, newest first; the first is made if there is none."""
        until, known = self._remembered.get(account, (0.0, []))
        if self._clock.monotonic() < until:
            return known
        found = await self._store.find(account) or await self._store.make(account, self._new(account))
        return self._remember(account, found)

    async def rotate(self, account: str) -> str:
        """Make a new secret and return it; those before it sign for a day more (the last few of them)."""
        while True:
            seen = await self._store.find(account)
            if not seen:
                self._remembered.pop(account, None)
                return (await self.of(account))[0]
            ending = self._clock.now() + _BOTH_SIGN
            older = [SealedSecret(one.sealed, one.until or ending) for one in seen if self._signs(one)]
            secrets = [SealedSecret(self._new(account)), *older][:_MOST_SECRETS]
            if await self._store.replace(account, seen, secrets):
                return self._remember(account, secrets)[0]

    def _remember(self, account: str, found: list[SealedSecret]) -> list[str]:
        opened = [self._seal.open(one.sealed, account) for one in found if self._signs(one)]
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[account] = (self._clock.monotonic() + _REMEMBERED_SECONDS, opened)
        return opened

    def _signs(self, secret: SealedSecret) -> bool:
        return secret.until is None or secret.until > self._now()

    def _now(self) -> datetime:
        return self._clock.now()

    def _new(self, account: str) -> str:
        return self._seal.close(sign.new_secret(token_bytes(sign.SECRET_BYTES)), account)
