"""While MongoDB does not answer, facts come again and questions get an honest answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gridloom_contract.base import Message
from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_kit.consume import Retry
from gridloom_kit.mongo import DatabaseError

_AFTER_SECONDS = 1.0
_UNAVAILABLE = Fault(
    code=FaultCode.UNAVAILABLE,
    message="the database does not answer",
    retryable=True,
    retry_after_seconds=_AFTER_SECONDS,
)


def told_again(handler: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Have a fact delivered again if the database failed."""

    async def handle(message: Any) -> None:
        try:
            await handler(message)
        except DatabaseError as error:
            raise Retry(f"the database failed: {error}", _AFTER_SECONDS) from error

    return handle


def said_so(handler: Callable[[Any], Awaitable[Message]]) -> Callable[[Any], Awaitable[Message]]:
    """Answer `unavailable` if the database failed."""

    async def handle(message: Any) -> Message:
        try:
            return await handler(message)
        except DatabaseError as error:
            raise FaultError(_UNAVAILABLE) from error

    return handle
