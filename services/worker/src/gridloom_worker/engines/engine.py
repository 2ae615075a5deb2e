"""What every engine is to the worker: something that offers models, answers orders, and can be let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from gridloom_contract.work import Offer, WorkOrder

Emit = Callable[[str], None]
"""Takes the next piece of the answer, of a raw task whole frames, in order.

May raise `FaultError` when the answer must not go on.
"""


class EngineError(Exception):
    """The engine cannot work here at all; the message says what to change."""


class TokenCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine counted; None is what it left open."""

    tokens_in: int | None = None
    tokens_out: int | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer ended, and what the engine counted of it.

    The answer to a raw task is `body`, the JSON of all that the engine said; that to any other is what was emitted.
    """

    finish_reason: str | None = None
    usage: TokenCounts = TokenCounts()
    body: str | None = None


class Engine(Protocol):
    """One way to answer. Canceling `run` stops the work at once and frees whatever it held."""

    name: str
    unsettled: asyncio.Event
    """Set by the engine when what it offers may have changed; cleared by whoever looks."""

    async def discover(self) -> tuple[Offer, ...]:
        """Return what can be served now, nothing while the engine is down. Raises `FaultError` if it cannot tell."""
        ...

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        """Answer `order`, handing each piece of text to `emit`. Raises `FaultError` if there is no complete answer."""
        ...

    async def close(self) -> None:
        """Give back what the engine holds. Nothing runs any more."""
        ...
