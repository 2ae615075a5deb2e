"""What the engine offers right now, asked again and again, and how fast each model has been."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gridloom_contract.fault import FaultError
from gridloom_contract.work import ModelSpeed, Offer, ResultReport
from gridloom_kit.log import get_logger
from gridloom_worker import rules
from gridloom_worker.engines.engine import Engine

log = get_logger()

_IMPATIENT_SECONDS = 2.0


class Catalogue:
    """The offers of one engine. `on_change`, once set, is called when a hello must tell of them."""

    on_change: Callable[[], None] | None = None

    def __init__(self, engine: Engine, every_seconds: float) -> None:
        self.offers: tuple[Offer, ...] = ()
        self._engine = engine
        self._every_seconds = every_seconds
        self._speeds: dict[str, ModelSpeed] = {}

    @property
    def speeds(self) -> tuple[ModelSpeed, ...]:
        """The measured speed of each model that has run here."""
        return tuple(self._speeds.values())

    @property
    def loaded(self) -> tuple[str, ...]:
        """The models that can answer without being loaded first."""
        return tuple(offer.model for offer in self.offers if offer.loaded)

    def learn(self, result: ResultReport) -> None:
        """Take a finished job into the measurements; failures say nothing about speed."""
        model = result.served_model
        if model and result.fault is None:
            self._speeds[model] = rules.faster(self._speeds.get(model, ModelSpeed(model=model)), result)

    async def look(self) -> None:
        """Ask the engine once. While it cannot tell, what it last told holds."""
        self._engine.unsettled.clear()
        try:
            found = rules.presentable(await self._engine.discover())
        except FaultError as error:
            log.warning("engine.unclear", engine=self._engine.name, err=error.fault.message)
            return
        has_news = not rules.same_offers(found, self.offers)
        self.offers = found
        if has_news:
            log.info("engine.offers", engine=self._engine.name, models=[offer.model for offer in found])
            if self.on_change:
                self.on_change()

    async def keep_looking(self) -> None:
        """Ask at the set pace, at once when the engine says so, and often while there is nothing; until canceled."""
        while True:
            every_seconds = self._every_seconds if self.offers else min(_IMPATIENT_SECONDS, self._every_seconds)
            try:
                async with asyncio.timeout(every_seconds):
                    await self._engine.unsettled.wait()
            except TimeoutError:
                pass
            await self.look()
