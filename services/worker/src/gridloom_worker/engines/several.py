"""Several engines as one: each order goes to the one that offers its model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gridloom_contract.work import Offer, WorkOrder
from gridloom_domain.errors import Upstream
from gridloom_worker.engines.engine import Emit, Ending, Engine


class Several:
    """At least one engine. What one of them offers, and an earlier one too, is the earlier one's."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.name = engines[0].name
        self.unsettled = asyncio.Event()
        self.unsettled.set()
        self._engines = engines
        self._by_model: dict[str, Engine] = {}
        for engine in engines:
            engine.unsettled = self.unsettled

    async def discover(self) -> tuple[Offer, ...]:
        """Return what any of them can serve now. Raises `FaultError` if one cannot tell."""
        offers: dict[str, Offer] = {}
        for engine in self._engines:
            for offer in await engine.discover():
                if offers.setdefault(offer.model, offer) is offer:
                    self._by_model[offer.model] = engine
        return tuple(offers.values())

    async def run(self, order: WorkOrder, emit: Emit) -> Ending:
        """Answer by the engine that offers the model. Raises `FaultError`."""
        engine = self._by_model.get(order.model)
        if engine is None:
            raise Upstream(f"no engine here offers {order.model}")
        return await engine.run(order, emit)

    async def close(self) -> None:
        """Close them all."""
        for engine in self._engines:
            await engine.close()
