"""The sealed API keys of subscriptions: kept until their jobs end, and dropped when a key is revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gridloom_contract.fleet import KeyRevoked
from gridloom_kit.batch import GroupCommit
from gridloom_kit.log import get_logger
from gridloom_webhook.dispatch import Dispatcher
from gridloom_webhook.record import Subscription

log = get_logger()

_MOST_REMEMBERED: Final = 10_000


class Keys(Protocol):
    """Where sealed keys are stored."""

    async def reopen(self, job: str, seq: int, sealed_key: str | None, kid: str | None) -> None:
        """The job runs again."""
        ...

    async def forget_key(self, kid: str) -> int:
        """Drop every sealed copy of a key."""
        ...


@dataclass(frozen=True)
class Keyring:
    """A revoked key signs nothing any more, not even what was on its way here when it was revoked."""

    keys: Keys
    put: GroupCommit[Subscription, None]
    forget_signatures: Callable[[str], Awaitable[int]]
    dispatcher: Dispatcher
    _revoked: dict[str, None] = field(default_factory=dict, init=False)

    async def subscribe(self, subscription: Subscription) -> None:
        """Store a subscription, with its key unless that is revoked."""
        await self.put.submit(subscription)
        await self._look_again(subscription.kid)

    async def reopen(self, job: str, seq: int, sealed_key: str | None, kid: str | None) -> None:
        """The job runs again since fact `seq`, perhaps with its owner's key sealed anew."""
        await self.keys.reopen(job, seq, sealed_key, kid)
        await self._look_again(kid)

    async def on_revoked(self, news: KeyRevoked) -> None:
        """Drop every sealed copy of the key and the signatures made with it: what is under way goes with the account's
        own signature alone.
        """
        if news.is_changed_only:
            return
        self._remember(news.kid)
        self.dispatcher.forget_signatures(news.kid)
        sealed = await self.keys.forget_key(news.kid)
        signatures = await self.forget_signatures(news.kid)
        log.info("webhook.key_forgotten", kid=news.kid, sealed=sealed, signatures=signatures)

    def _remember(self, kid: str) -> None:
        self._revoked[kid] = None
        if len(self._revoked) > _MOST_REMEMBERED:
            del self._revoked[next(iter(self._revoked))]

    async def _look_again(self, kid: str | None) -> None:
        if kid in self._revoked:
            await self.keys.forget_key(kid)
