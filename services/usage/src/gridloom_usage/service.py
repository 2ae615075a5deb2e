"""The usage service on one screen: what it is made of, what it consumes, answers and does in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from secrets import token_hex

from gridloom_contract import registry
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.clock import SystemClock
from gridloom_kit.mongo import Database, ensure_indexes, open_database
from gridloom_kit.outages import said_so, told_again
from gridloom_kit.service import Answer, Consume, Service, answer, check, task, tick
from gridloom_usage import metrics
from gridloom_usage.catching_up import CatchingUp, Rounds
from gridloom_usage.endings import Endings
from gridloom_usage.handlers import Accounting, UsageDesk
from gridloom_usage.lag import Lag
from gridloom_usage.recorder import Books, Recorder
from gridloom_usage.settings import Settings
from gridloom_usage.store.batches import BatchStore
from gridloom_usage.store.indexes import INDEXES
from gridloom_usage.store.ledger import LedgerStore
from gridloom_usage.store.rollups import RollupStore
from gridloom_usage.store.watermarks import WatermarkStore
from gridloom_usage.verification import LedgerProof, RollupProof, Verification

NAME = registry.USAGE
_PING_SECONDS = 2.0
_LAG_SECONDS = 10.0
_PATIENCE_SECONDS = 0.1
"""How long an ending waits for others: a batch is four writes, whether it has one ending or hundreds."""


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Service]:
    """Open the database and the bus, finish what a crash left, and put the service together."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.mongo_url, settings.mongo_database))
        await ensure_indexes(database, INDEXES)
        bus = await stack.enter_async_context(open_bus(settings, NAME))
        yield await compose(stack, settings, database, bus)


class Stores:
    """The collections, one class each."""

    def __init__(self, database: Database) -> None:
        self.ledger = LedgerStore(database)
        self.rollups = RollupStore(database)
        self.batches = BatchStore(database)
        self.watermarks = WatermarkStore(database)


async def compose(stack: AsyncExitStack, settings: Settings, database: Database, bus: Bus) -> Service:
    """Put the parts together."""
    stores, clock, endings = Stores(database), SystemClock(), Endings(bus)
    recorder = Recorder(Books(stores.ledger, stores.rollups, stores.batches), clock, partial(token_hex, 6))
    await recorder.finish_left()
    recording = await stack.enter_async_context(GroupCommit(recorder.record, max_items=settings.batch_endings))
    lag = Lag(stores.ledger, clock)
    metrics.ledger_lag_seconds.set_function(lag.seconds)
    catching_up = CatchingUp(endings, stores.ledger, stores.watermarks, clock, recording.submit)
    accounting = Accounting(partial(recording.submit, within_seconds=_PATIENCE_SECONDS), lag)
    proof = LedgerProof(endings, stores.ledger, clock, settings.settle_seconds)
    verification = Verification(proof, RollupProof(stores.ledger, stores.rollups, stores.batches))
    return Service(
        NAME,
        bus=bus,
        consumes=(
            Consume(registry.facts_for(NAME), NAME, told_again(accounting.on_finished), at_once=settings.batch_endings),
        ),
        answers=_answers(UsageDesk(stores.rollups, stores.ledger, verification, bus.max_payload_bytes)),
        tasks=(task("catching_up", Rounds(catching_up, settings.catch_up_seconds, settings.settle_seconds).run),),
        ticks=(
            tick("left_batches", settings.sweep_seconds, partial(recorder.finish_left, settings.sweep_seconds)),
            tick("lag", _LAG_SECONDS, lag.forget_recorded),
        ),
        checks=(check("mongo", partial(_ping, database)),),
    )


def _answers(desk: UsageDesk) -> tuple[Answer, ...]:
    return (
        answer(registry.GET_USAGE, said_so(desk.on_get)),
        answer(registry.GET_USAGE_LINE, said_so(desk.on_line)),
        answer(registry.LEDGER_TOTALS, said_so(desk.on_totals)),
        answer(registry.VERIFY_USAGE, said_so(desk.on_verify)),
    )


async def _ping(database: Database) -> None:
    async with asyncio.timeout(_PING_SECONDS):
        await database.command("ping")
