"""Watches that the streams are there: a wiped JetStream store is made anew, and our workers are asked to come back."""

from __future__ import annotations

from gridloom_contract.streams import STREAMS, WORK_STREAMS
from gridloom_kit.bus import Bus
from gridloom_kit.jetstream import BusError, JetStreamApiError
from gridloom_kit.log import get_logger
from gridloom_scheduler.fleet import Fleet
from gridloom_scheduler.reception import Greeter
from gridloom_scheduler.shards import MakeStreams

log = get_logger()

_NO_SUCH_STREAM = 404


class StreamWatch:
    """Looks at each stream's date of birth: a new one means that its consumers and orders are gone with the old one.

    Orders need no list of their own: a worker that does not know of an order has it taken back and given out again.
    """

    def __init__(self, bus: Bus, make_streams: MakeStreams, fleet: Fleet, greeter: Greeter) -> None:
        self._bus = bus
        self._make_streams = make_streams
        self._fleet = fleet
        self._greeter = greeter
        self._born: dict[str, str] = {}
        self._reborn_at = float("-inf")

    async def look(self) -> None:
        """Look once. During a leader change nobody answers, which is not "gone"."""
        try:
            born = {stream.name: await self._birth_of(stream.name) for stream in STREAMS}
            if None in born.values():
                await self._make_streams()
                born = {stream.name: await self._birth_of(stream.name) for stream in STREAMS}
        except (BusError, JetStreamApiError) as error:
            log.warning("streams.not_seen", err=str(error))
            return
        now = {name: at for name, at in born.items() if at is not None}
        if any(self._born.get(name, now.get(name)) != now.get(name) for name in WORK_STREAMS.values()):
            self._reborn_at = self._fleet.now()
            log.warning("streams.reborn")
        self._born |= now
        await self._ask_those_from_before()

    def born(self, stream: str) -> str | None:
        """Return when a stream was made, as it was seen last; None before that."""
        return self._born.get(stream)

    async def _birth_of(self, stream: str) -> str | None:
        try:
            return str((await self._bus.js_api(f"STREAM.INFO.{stream}"))["created"])
        except JetStreamApiError as error:
            if error.code == _NO_SUCH_STREAM:
                return None
            raise

    async def _ask_those_from_before(self) -> None:
        """Ask until they answer: a worker may have been without a connection when it was asked first."""
        for seat in self._fleet:
            if seat.is_online and seat.greeted_at < self._reborn_at:
                await self._greeter.ask(seat.id)
