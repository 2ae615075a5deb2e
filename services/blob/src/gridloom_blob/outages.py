"""While MongoDB does not answer, facts come again and questions get an honest answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gridloom_blob.store.errors import StoreError
from gridloom_contract.base import Message
from gridloom_domain.errors import Unavailable
from gridloom_kit.consume import Retry

_AFTER_SECONDS = 1.0


def told_again(handler: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Have a fact delivered again if the database failed."""

    async def handle(message: Any) -> None:
        try:
            await handler(message)
        except StoreError as error:
            raise Retry(f"the blob database failed: {error}", _AFTER_SECONDS) from error

    return handle


def said_so(handler: Callable[[Any], Awaitable[Message]]) -> Callable[[Any], Awaitable[Message]]:
    """Answer `unavailable` if the database failed."""

    async def handle(message: Any) -> Message:
        try:
            return await handler(message)
        except StoreError as error:
            raise Unavailable("the blob database does not answer", retry_after_seconds=_AFTER_SECONDS) from error

    return handle
