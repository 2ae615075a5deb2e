"""Watches that the streams are there: those a restarted NATS server has forgotten are made anew, and our workers are
asked to come back.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from gridloom_contract.streams import STREAMS, WORK_STREAMS
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import BusError, JetStreamApiError
from gridloom_kit.log import get_logger
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.reception import Greeter
from gridloom_scheduler.shards import MakeStreams

log = get_logger()

_NO_SUCH_STREAM = 404


class Life(NamedTuple):
    """A stream as it was seen: when it was made, and how many messages it has ever had."""

    born: str
    messages: int


class StreamWatch:
    """Looks at each stream's date of birth: a new one means that its consumers and orders are gone with the old one.

    So does a stream that has had fewer messages than before: a server of a cluster may come back with an empty one.
    Orders need no list of their own: those that nobody has started are doubted, and sent again (`repeats.py`).
    """

    def __init__(self, bus: Bus, make_streams: MakeStreams, fleet: Fleet, greeter: Greeter) -> None:
        self._bus = bus
        self._make_streams = make_streams
        self._fleet = fleet
        self._greeter = greeter
        self._seen: dict[str, Life] = {}
        self._reborn_at = float("-inf")
        self._looking = asyncio.Lock()

    async def look_soon(self) -> None:
        """Look at once, beside what is going on: the connection has come back, perhaps to a server that forgot."""
        self._fleet.heard_from = self._fleet.now()
        self._bus.tasks.create_task(self.look())

    async def look(self) -> None:
        """Look once. During a leader change nobody answers, which is not "gone"."""
        async with self._looking:  # of two looks at once, the older might seem to come from before
            await self._look_for_changes()

    async def _look_for_changes(self) -> None:
        try:
            seen = await self._look()
            if len(seen) < len(STREAMS):
                await self._make_streams()
                seen = await self._look()
        except (BusError, JetStreamApiError) as error:
            log.warning("streams.not_seen", err=str(error))
            return
        forgetful = {lane for lane, name in WORK_STREAMS.items() if has_forgotten(self._seen.get(name), seen.get(name))}
        self._seen |= seen
        if forgetful:
            self._reborn_at = self._fleet.now()
            self._fleet.orders_vanished(forgetful)
            log.warning("streams.reborn", lanes=sorted(forgetful))
        await self._ask_those_from_before()

    def born(self, stream: str) -> str | None:
        """Return when a stream was made, as it was seen last; None before that."""
        life = self._seen.get(stream)
        return life.born if life else None

    async def _look(self) -> dict[str, Life]:
        """Return the streams that are there."""
        lives = await asyncio.gather(*(self._life_of(stream.name) for stream in STREAMS))
        return {stream.name: life for stream, life in zip(STREAMS, lives, strict=True) if life is not None}

    async def _life_of(self, stream: str) -> Life | None:
        try:
            info = await self._bus.js_api(f"STREAM.INFO.{stream}")
        except JetStreamApiError as error:
            if error.code == _NO_SUCH_STREAM:
                return None
            raise
        return Life(str(info["created"]), int(info["state"]["last_seq"]))

    async def _ask_those_from_before(self) -> None:
        """Ask until they answer: a worker may have been without a connection when it was asked first."""
        for seat in self._fleet:
            if seat.is_online and seat.greeted_at < self._reborn_at:
                await self._greeter.ask(seat.id)


def has_forgotten(before: Life | None, now: Life | None) -> bool:
    """Whether a stream has lost what it had when it was seen `before`."""
    if before is None or now is None:
        return False
    return before.born != now.born or now.messages < before.messages
