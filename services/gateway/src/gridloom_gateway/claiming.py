"""Idempotency keys under load: claims that come together are one write, and so are answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gridloom_gateway.claims import Claim, KeptAnswer
from gridloom_gateway.store import ClaimStore
from gridloom_kit.batch import GroupCommit

Answered = tuple[Claim, KeptAnswer]


class GroupedClaims:
    """The claims as `Idempotency` wants them. What is rare, one write each, goes straight to the store."""

    def __init__(
        self,
        store: ClaimStore,
        claim: Callable[[Claim], Awaitable[Claim]],
        answer: Callable[[Answered], Awaitable[KeptAnswer]],
    ) -> None:
        self._claim = claim
        self.take_over = store.take_over
        self.release = store.release
        self.let_go = store.let_go
        self._answer = answer

    async def claim(self, wanted: Claim) -> Claim:
        """Return the claim that stands: the wanted one if the key was free."""
        return await self._claim(wanted)

    async def answer(self, claim: Claim, answer: KeptAnswer) -> KeptAnswer:
        """Keep the answer unless there is one, and return the one that is kept."""
        return await self._answer((claim, answer))


@asynccontextmanager
async def open_claims(store: ClaimStore) -> AsyncIterator[GroupedClaims]:
    """Yield the claims; what is in hand is written before this ends."""
    async with GroupCommit(store.claim) as claiming, GroupCommit(store.answer) as answering:
        yield GroupedClaims(store, claiming.submit, answering.submit)
