"""What the NATS server itself asks and takes: the auth callout, and ending a client's connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import BusError
from gridloom_kit.log import get_logger

log = get_logger()

_AUTH_CALLOUT = "$SYS.REQ.USER.AUTH"
_KICK = "$SYS.REQ.SERVER.{server}.KICK"
_KICK_SECONDS = 2.0


async def answer_callouts(bus: Bus, queue: str, answer: Callable[[bytes], Awaitable[bytes | None]]) -> None:
    """Answer the server's questions about clients, each in a task of its own; None leaves one unanswered.

    `bus` is connected as the callout's user. Of all that share `queue`, one answers.
    """

    async def answer_one(received: Any) -> None:
        reply = await answer(received.data)
        if reply is not None:
            await bus.publish_bytes(received.reply, reply)

    async def on_question(received: Any) -> None:
        bus.tasks.create_task(answer_one(received))

    await bus.client.subscribe(_AUTH_CALLOUT, queue=queue, cb=on_question)


async def end_connection(bus: Bus, server: str, client: int) -> bool:
    """End a client's connection; it may come back. `bus` is connected as the system user. Says whether it was told."""
    try:
        await bus.client.request(
            _KICK.format(server=server), msgspec.json.encode({"cid": client}), timeout=_KICK_SECONDS
        )
    except BusError as error:
        log.warning("system.not_kicked", err=str(error))
        return False
    return True
