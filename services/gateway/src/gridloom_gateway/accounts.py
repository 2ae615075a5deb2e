"""The book of accounts and keys: open, disable, issue, rotate, revoke. What changes a key is told to every gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gridloom_contract.fleet import KeyRevoked
from gridloom_domain.errors import Conflict, Invalid, NotFound
from gridloom_gateway import keys
from gridloom_gateway.people import Account, ApiKey, Page, Row
from gridloom_gateway.store import Store
from gridloom_kit.clock import Clock
from gridloom_kit.log import get_logger

log = get_logger()

Announce = Callable[[KeyRevoked], Awaitable[None]]


@dataclass(frozen=True)
class IssuedKey:
    """A new key with its text, to be shown this once."""

    key: ApiKey
    text: str


@dataclass(frozen=True)
class KeyWish:
    """What a new key shall be like."""

    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None


class Accounts:
    """`announce(news)` tells every gateway to forget what it remembers of a key."""

    def __init__(
        self, store: Store, clock: Clock, mint_id: Callable[[], str], announce: Announce, *, pepper: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._mint_id = mint_id
        self._announce = announce
        self._pepper = pepper.encode()

    async def open(self, name: str, priority_boost: int) -> Account:
        """Open an account and return it."""
        account = Account(self._mint_id(), name, self._clock.now(), priority_boost)
        await self._store.add_account(account)
        log.info("account.opened", account=account.id)
        return account

    async def get(self, account: str) -> Account:
        """Return the account. Raises `NotFound`."""
        return _found(await self._store.account(account), "account")

    async def page(self, number: int, size: int) -> Page[Account]:
        """Return one page of accounts, newest first."""
        return await self._store.accounts(number, size)

    async def set_disabled(self, account: str, *, disabled: bool) -> Account:
        """Disable or enable an account; its keys stop or start to work at once. Raises `NotFound`."""
        at = self._clock.now() if disabled else None
        changed = _found(await self._store.set_disabled(account, at), "account")
        log.info("account.disabled" if disabled else "account.enabled", account=account)
        for kid in await self._store.kids_of(account):
            await self._announce(KeyRevoked(kid=kid, is_changed_only=True))
        return changed

    async def issue_key(self, account: str, wish: KeyWish) -> IssuedKey:
        """Give the account a new key. Raises `NotFound`, or `Invalid` if it would have ended already."""
        await self.get(account)
        if wish.expires_at is not None and wish.expires_at <= self._clock.now():
            raise Invalid("expires_at must lie in the future", "expires_at")
        return await self._issue(account, wish)

    async def keys(self, account: str, number: int, size: int) -> Page[ApiKey]:
        """Return one page of an account's keys, newest first. Raises `NotFound`."""
        await self.get(account)
        return await self._store.keys(account, number, size)

    async def rotate_key(self, kid: str, grace_seconds: float) -> IssuedKey:
        """Issue a key like this one, which ends after the grace. Raises `NotFound`, `Conflict` if it is not valid."""
        old = _found(await self._store.key(kid), "key")
        now = self._clock.now()
        shortened = await self._store.shorten_key(kid, now, now + timedelta(seconds=grace_seconds))
        if shortened is None:
            raise Conflict("the key is revoked or expired: issue a new one instead")
        issued = await self._issue(old.account, KeyWish(old.name, old.scopes, old.expires_at))
        await self._announce(KeyRevoked(kid=kid, is_changed_only=grace_seconds > 0))
        return issued

    async def revoke_key(self, kid: str) -> ApiKey:
        """Revoke a key everywhere, at once. Raises `NotFound`."""
        revoked = _found(await self._store.revoke_key(kid, self._clock.now()), "key")
        log.info("key.revoked", kid=kid, account=revoked.account)
        await self._announce(KeyRevoked(kid=kid))
        return revoked

    async def _issue(self, account: str, wish: KeyWish) -> IssuedKey:
        minted = keys.mint()
        key = ApiKey(
            kid=minted.kid,
            account=account,
            verifier=keys.verifier(self._pepper, minted.text),
            name=wish.name,
            scopes=wish.scopes,
            created_at=self._clock.now(),
            expires_at=wish.expires_at,
        )
        await self._store.add_key(key)
        log.info("key.issued", kid=key.kid, account=account)
        return IssuedKey(key, minted.text)


def _found(row: Row | None, what: str) -> Row:
    if row is None:
        raise NotFound(f"there is no such {what}")
    return row
