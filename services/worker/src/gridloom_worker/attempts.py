"""Follows each order from its slot to its confirmed result, and starts the next one whenever a slot is free."""

from __future__ import annotations

import asyncio
from types import TracebackType

from gridloom_contract.fault import Fault
from gridloom_contract.work import ResultReport, WorkOrder
from gridloom_kit import crash
from gridloom_kit.log import bind, get_logger
from gridloom_worker.catalogue import Catalogue
from gridloom_worker.deliveries import Deliveries
from gridloom_worker.runner import Runner, Why
from gridloom_worker.slots import Key, Slots, key_of

log = get_logger()

_NOTE_SECONDS = 0.001
"""A moment later what has ended is noted: its report goes first."""


class Attempts:
    """Everything this worker has in hand, alive. `async with` it; leaving waits for what is still there."""

    def __init__(self, slots: Slots, runner: Runner, deliveries: Deliveries, catalogue: Catalogue) -> None:
        self._slots = slots
        self._runner = runner
        self._deliveries = deliveries
        self._catalogue = catalogue
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    async def __aenter__(self) -> Attempts:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._group.__aexit__(kind, error, traceback)

    def take(self, lane: str, order: WorkOrder) -> None:
        """Put an order in line and start what can start. An attempt taken before is taken once."""
        if not self._slots.admit(lane, order):
            log.info("order.duplicate", job=order.job, attempt=order.attempt)
            return
        for attempt in self._slots.older_attempts(order):
            self.stop((order.job, attempt))
        self._fill()

    def stop(self, key: Key) -> None:
        """Forget an attempt nobody wants any more, whether it waits or runs."""
        if not self._slots.withdraw(key):
            self._runner.stop(key, Why.UNWANTED)

    def hand_back(self, order: WorkOrder, fault: Fault) -> None:
        """Give an order back that was not started."""
        self._follow(self._hand_back(order, fault))

    def hand_back_waiting(self, fault: Fault) -> None:
        """Give back everything that waits for a slot."""
        for order in self._slots.withdraw_all():
            self.hand_back(order, fault)

    def deliver_again(self, result: ResultReport) -> None:
        """Report a result of an earlier life of this worker."""
        self._slots.remember((result.job, result.attempt))
        self._follow(self._deliver_again(result))

    async def quiet(self) -> None:
        """Return once nothing runs on the engine."""
        await self._is_quiet.wait()

    async def settle(self, patience_seconds: float) -> None:
        """Return once all is reported, at the latest after `patience_seconds`; the rest stays in the spool."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_seconds)
            for task in late:
                task.cancel()

    def _fill(self) -> None:
        while (order := self._slots.start_next()) is not None:
            self._is_quiet.clear()
            self._follow(self._carry_out(order))

    def _follow(self, work: asyncio._CoroutineLike[None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, order: WorkOrder) -> None:
        key = key_of(order)
        bind(job=order.job, attempt=order.attempt)
        try:
            crash.point("worker.order_taken")
            result, start = await self._runner.run(order)
            crash.point("worker.answered")
            self._slots.end(key)
            self._engine_is_free()
            if result is not None:
                asyncio.get_running_loop().call_later(_NOTE_SECONDS, self._note, result)
                parcel = await self._deliveries.pack(result)
                del result  # its output may be large, and the way to its receipt long
                self._slots.note_parcel(key, is_large=parcel.content is not None)
                verdict = await self._deliveries.deliver(parcel, start)
                log.debug("attempt.confirmed", verdict=str(verdict))
        except Exception:
            log.exception("attempt.bug")
        finally:
            self._slots.forget(key)
            self._engine_is_free()

    async def _deliver_again(self, result: ResultReport) -> None:
        try:
            parcel = self._deliveries.pack_again(result)
            self._slots.note_parcel((result.job, result.attempt), is_large=parcel.content is not None)
            verdict = await self._deliveries.deliver(parcel)
            log.info("spool.delivered", job=result.job, attempt=result.attempt, verdict=str(verdict))
        finally:
            self._slots.forget((result.job, result.attempt))

    async def _hand_back(self, order: WorkOrder, fault: Fault) -> None:
        try:
            await self._deliveries.hand_back(order, fault)
            log.info("order.handed_back", job=order.job, attempt=order.attempt, why=fault.message)
        finally:
            self._slots.forget(key_of(order))

    def _engine_is_free(self) -> None:
        self._fill()
        if not self._slots.running:
            self._is_quiet.set()

    def _note(self, result: ResultReport) -> None:
        self._catalogue.learn(result)
        log.info(
            "attempt.ended",
            model=result.served_model,
            fault=str(result.fault.code) if result.fault else None,
            seconds=round(result.engine_seconds, 4),
            tokens_out=result.usage.tokens_out if result.usage else None,
        )
