"""How the scheduler knows this worker: hellos with what it offers, heartbeats with what it holds."""

from __future__ import annotations

import asyncio

from gridloom_contract import registry, subjects
from gridloom_contract.fault import FaultError
from gridloom_contract.work import Welcome, WorkerHeartbeat, WorkerHello
from gridloom_kit.bus import Bus
from gridloom_kit.log import get_logger
from gridloom_kit.run import version_of
from gridloom_worker.catalogue import Catalogue
from gridloom_worker.slots import Slots

log = get_logger()

_HELLO_SECONDS = 3.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Card:
    """The worker as it describes itself, at the moment it is asked."""

    def __init__(self, worker: str, session: str, engine: str, slots: Slots, catalogue: Catalogue) -> None:
        self._worker = worker
        self._session = session
        self._engine = engine
        self._slots = slots
        self._catalogue = catalogue

    def hello(self) -> WorkerHello:
        """Who it is and what it offers."""
        return WorkerHello(
            worker=self._worker,
            session=self._session,
            slots=self._slots.count,
            offers=self._catalogue.offers,
            version=version_of("worker"),
            engine=self._engine,
        )

    def note(self, welcome: Welcome) -> None:
        """Take over what the scheduler knows better: an operator may have drained or resumed the worker meanwhile."""
        self._slots.is_drained = welcome.draining

    def heartbeat(self) -> WorkerHeartbeat:
        """What it has in hand and how fast it is."""
        return WorkerHeartbeat(
            worker=self._worker,
            session=self._session,
            free_slots=self._slots.free,
            holding=self._slots.holding(),
            speeds=self._catalogue.speeds,
            loaded=self._catalogue.loaded,
            draining=self._slots.is_draining,
        )


class Presence:
    """Introduces the worker whenever asked to, and keeps saying that it is there."""

    def __init__(self, bus: Bus, worker: str, card: Card) -> None:
        self.welcomed = asyncio.Event()
        self.welcome: Welcome | None = None
        self._bus = bus
        self._worker = worker
        self._card = card
        self._due = asyncio.Event()

    def introduce(self) -> None:
        """Say hello (again) as soon as possible."""
        self._due.set()

    async def say_hellos(self) -> None:
        """Say every hello that is due until it is answered; runs until canceled."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._say_hello()
                pause_seconds = _FIRST_PAUSE_SECONDS
            except FaultError as error:
                log.warning("worker.not_welcomed", err=error.fault.message, again_in_seconds=pause_seconds)
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
                self._due.set()

    async def _say_hello(self) -> None:
        hello = self._card.hello()
        self.welcome = await self._bus.request(
            registry.HELLO, hello, subject=subjects.worker_hello(self._worker), timeout_seconds=_HELLO_SECONDS
        )
        self._card.note(self.welcome)
        models = [offer.model for offer in hello.offers]
        log.info("worker.welcomed", models=models, slots=hello.slots, draining=self.welcome.draining)
        await self.beat()  # what is in hand must be known before anyone misses it
        self.welcomed.set()

    async def beat_on(self) -> None:
        """Send heartbeats at the pace of the last welcome; runs until canceled."""
        await self.welcomed.wait()
        while self.welcome is not None:
            await asyncio.sleep(self.welcome.heartbeat_seconds)
            await self.beat()

    async def beat(self) -> None:
        """Send one heartbeat now. While the connection is down there is nobody to hear it."""
        if self._bus.is_connected:
            await self._bus.publish(subjects.worker_heartbeat(self._worker), self._card.heartbeat())
