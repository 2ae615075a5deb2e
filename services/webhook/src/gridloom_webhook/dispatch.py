"""Sends what is due: wakes when the first delivery is, wins it by lease, and hands it to the courier.

New deliveries come leased already and wait in a small stock, so that the usual one costs no claim. A lease that is not
used (a crash, a full stock) runs out, and the delivery is due again: nothing is ever only in memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Protocol

from gridloom_contract.fault import FaultError
from gridloom_kit.clock import Clock
from gridloom_kit.crash import point
from gridloom_kit.log import get_logger
from gridloom_kit.mongo import DatabaseError
from gridloom_webhook import metrics
from gridloom_webhook.lanes import Board, Slot
from gridloom_webhook.post import Sent
from gridloom_webhook.record import Claim, Delivery

log = get_logger()

_STOCK_OF_LANE = 64
_STOCK_BYTES = 64 * 1024 * 1024
_LONGEST_SLEEP_SECONDS = 60.0
_AFTER_ERROR_SECONDS = 2.0


class Claims(Protocol):
    """Where deliveries are won."""

    async def claim(self, lane: str, now: datetime, lease: tuple[str, datetime], most: int) -> Claim:
        """Win what is due in a lane."""
        ...

    async def hand_back(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Give up leases that will not be used."""
        ...

    async def horizon(self) -> list[tuple[str, datetime]]:
        """Return every lane with pending deliveries and when the first is due."""
        ...


class Carrier(Protocol):
    """Who sends one delivery, and records what became of it."""

    async def send(self, delivery: Delivery) -> Sent | None:
        """Send a delivery; None if it was given up without a request."""
        ...

    async def record(self, delivery: Delivery, sent: Sent) -> datetime | None:
        """Record what became of it; return when it is tried again, if it is."""
        ...


class Dispatcher:
    """One for each replica. `lease_seconds` must outlast an attempt; `attempt_seconds` is what one may take."""

    def __init__(
        self, claims: Claims, carrier: Carrier, board: Board, clock: Clock, seconds: tuple[float, float]
    ) -> None:
        self._claims = claims
        self._carrier = carrier
        self.board = board
        self._clock = clock
        self._lease, self._attempt = (timedelta(seconds=one) for one in seconds)
        self._stock: dict[str, deque[Delivery]] = {}
        self._stock_bytes = 0
        self._recorded: dict[str, datetime] = {}
        """When the first delivery of a lane is due that is in the record and not in stock."""
        self._wake = asyncio.Event()

    def lease_for(self, delivery: Delivery) -> tuple[str, datetime] | None:
        """Return a lease under which a new delivery may be stored; None if it should wait in the record."""
        now = self._clock.now()
        is_full = len(self._stock.get(delivery.lane, ())) >= _STOCK_OF_LANE or self._stock_bytes >= _STOCK_BYTES
        is_early = delivery.next_at is not None and delivery.next_at > now
        return None if is_full or is_early else (token_hex(8), now + self._lease)

    def offer(self, delivery: Delivery) -> None:
        """A delivery is stored: send it when it is its turn."""
        if delivery.lease:
            self._store_up(delivery)
            self._note(delivery.lane, self._clock.now())
        else:
            self.look(delivery.lane, delivery.next_at or self._clock.now())

    def look(self, lane: str, due: datetime) -> None:
        """Something of this lane is in the record and due at `due`."""
        self._recorded[lane] = min(due, self._recorded.get(lane, due))
        self._note(lane, due)

    def _note(self, lane: str, due: datetime) -> None:
        self.board.note(lane, due)
        self._wake.set()

    async def sweep(self) -> None:
        """Find what no timer of this replica knows of: left by a crash, put off by another replica."""
        for lane, due in await self._claims.horizon():
            self.look(lane, due)
        self.board.forget_idle(self._clock.now())

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop; then what is under way ends, and leases in stock go back."""
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(self._wake_on(stop))
            tasks.create_task(self._first_look())
            while not stop.is_set():
                self._wake.clear()
                while slots := self.board.pick(self._clock.now()):
                    tasks.create_task(self._serve(slots, tasks))
                metrics.in_flight.set(self.board.running)
                await self._sleep()
            await stopping
        await self._hand_back()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _first_look(self) -> None:
        try:
            await self.sweep()
        except DatabaseError as error:
            log.warning("dispatch.first_look_failed", err=str(error))

    async def _sleep(self) -> None:
        """Until something is offered or given back, or the first lane becomes due."""
        change = self.board.next_change()
        seconds = (change - self._clock.now()).total_seconds() if change else _LONGEST_SLEEP_SECONDS
        try:
            async with asyncio.timeout(min(max(seconds, 0.001), _LONGEST_SLEEP_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _serve(self, slots: list[Slot], tasks: asyncio.TaskGroup) -> None:
        """Fill the slots of one lane, and give back those for which there is nothing."""
        lane = slots[0].lane.key
        try:
            found = self._from_stock(lane, len(slots)) or await self._claim(lane, len(slots))
        except Exception as error:  # noqa: BLE001 - one lane's record must not end the sending of all
            log.warning("dispatch.claim_failed", err=str(error))
            found = []
            self.look(lane, self._clock.now() + timedelta(seconds=_AFTER_ERROR_SECONDS))
        for slot, delivery in zip(slots, found, strict=False):
            tasks.create_task(self._deliver(slot, delivery))
        for slot in slots[len(found) :]:
            self._release(slot)

    async def _claim(self, lane: str, wanted: int) -> list[Delivery]:
        now = self._clock.now()
        self._recorded.pop(lane, None)
        most = _STOCK_OF_LANE if self._stock_bytes < _STOCK_BYTES else wanted
        claim = await self._claims.claim(lane, now, (token_hex(8), now + self._lease), most)
        if claim.won:
            point("webhook.claimed")
        if claim.next_at:
            self.look(lane, claim.next_at)
        for delivery in claim.won[wanted:]:
            self._store_up(delivery)
        if claim.won[wanted:]:
            self._note(lane, now)
        return list(claim.won[:wanted])

    async def _deliver(self, slot: Slot, delivery: Delivery) -> None:
        """Whatever goes wrong here, the delivery is due again when its lease has run out."""
        again_at = delivery.next_at
        try:
            sent = await self._send(slot, delivery)
            again_at = await self._carrier.record(delivery, sent) if sent else None
        except (DatabaseError, FaultError) as error:
            log.warning("dispatch.put_off", delivery=delivery.id, err=str(error))
        except Exception:
            log.exception("dispatch.failed", delivery=delivery.id)
        finally:
            if again_at:
                self.look(delivery.lane, again_at)

    async def _send(self, slot: Slot, delivery: Delivery) -> Sent | None:
        try:
            sent = await self._carrier.send(delivery)
            if sent:
                self.board.learn(slot, sent.answer, self._clock.now())
            return sent
        finally:
            self._release(slot)

    def _release(self, slot: Slot) -> None:
        self.board.release(slot)
        self._wake.set()

    def _store_up(self, delivery: Delivery) -> None:
        self._stock.setdefault(delivery.lane, deque()).append(delivery)
        self._stock_bytes += len(delivery.body)

    def _from_stock(self, lane: str, wanted: int) -> list[Delivery]:
        """Return deliveries whose lease lasts long enough; the others come back when theirs has run out.

        The board takes the lane for empty now: it is told of what is left, in stock or else in the record.
        """
        stock, found = self._stock.get(lane, deque()), list[Delivery]()
        while stock and len(found) < wanted:
            delivery = stock.popleft()
            self._stock_bytes -= len(delivery.body)
            if delivery.next_at and delivery.next_at > self._clock.now() + self._attempt:
                found.append(delivery)
            elif delivery.next_at:
                self.look(lane, delivery.next_at)
        if stock:
            self._note(lane, self._clock.now())
        else:
            self._stock.pop(lane, None)
            if found and lane in self._recorded:
                self._note(lane, self._recorded[lane])
        return found

    def forget_signatures(self, kid: str) -> None:
        """Take the signatures made with an API key from what waits here."""
        for stock in self._stock.values():
            for place, delivery in enumerate(stock):
                if delivery.kid == kid:
                    stock[place] = replace(delivery, vibe=None)

    async def _hand_back(self) -> None:
        left = [delivery for stock in self._stock.values() for delivery in stock]
        if left:
            await self._claims.hand_back(left, self._clock.now())
