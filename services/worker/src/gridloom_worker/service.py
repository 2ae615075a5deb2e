"""The wiring of the worker: which engine, which parts, one task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from gridloom_kit.bus import Bus
from gridloom_kit.clock import SystemClock
from gridloom_kit.service import Service, check, task
from gridloom_kit.transfer import Transfer, open_transfer
from gridloom_worker import metrics
from gridloom_worker.attempts import Attempts
from gridloom_worker.catalogue import Catalogue
from gridloom_worker.connecting import Readmission, open_connection
from gridloom_worker.deliveries import Deliveries
from gridloom_worker.engines.engine import Engine
from gridloom_worker.engines.llama_orders import LlamaOrders
from gridloom_worker.engines.llamacpp import (
    DEFAULT_MODEL,
    EMBEDDER,
    EMBEDDER_CONTEXT_TOKENS,
    open_llamacpps,
    packaged_embedder,
    packaged_model,
)
from gridloom_worker.engines.openai_http import open_openai_http
from gridloom_worker.engines.several import Several
from gridloom_worker.engines.synthetic import SyntheticPlan, open_synthetic
from gridloom_worker.handlers import Handlers
from gridloom_worker.inputs import Inputs
from gridloom_worker.life import LAST_REPORTS_SECONDS, Life, Parts
from gridloom_worker.presence import Card, Presence
from gridloom_worker.reports import BusDesk, Reports
from gridloom_worker.rules import worker_of
from gridloom_worker.runner import Runner
from gridloom_worker.settings import PACKAGED, EngineName, Settings
from gridloom_worker.slots import Slots
from gridloom_worker.spool import Spool, open_spool
from gridloom_worker.streams import BusLine, Streams
from gridloom_worker.uploads import BusSlots, Uploads


@asynccontextmanager
async def build(settings: Settings, stop: asyncio.Event, hurry: asyncio.Event) -> AsyncIterator[Service]:
    """Yield the worker as a service. Raises `EngineError`, `TokenRefused`, `Interrupted` or OSError (the spool)."""
    worker, session = worker_of(settings.token), token_hex(8)
    async with AsyncExitStack() as stack:
        spool = await stack.enter_async_context(
            open_spool(Path(settings.spool_dir) / worker, is_synced=settings.spool_fsync)
        )
        engine = await stack.enter_async_context(ENGINES[settings.engine](settings))
        bus = await stack.enter_async_context(open_connection(settings, worker, stop))
        transfer = await stack.enter_async_context(open_transfer())
        reports = Reports(worker, session, BusDesk(bus, worker), spool)
        await stack.enter_async_context(reports.group)
        readmission = Readmission(settings, worker, bus, stop)
        parts = assemble(settings, session, Opened(bus, engine, spool, transfer), reports, readmission)
        grace_seconds = max(0.0, settings.stop_grace_seconds - LAST_REPORTS_SECONDS - 1.0)
        yield Service(
            "worker",
            bus,
            tasks=(task("life", Life(parts, grace_seconds, hurry).run),),
            checks=(check("scheduler", _welcomed(parts)), check("engine", _offering(parts))),
        )


@dataclass(frozen=True)
class Opened:
    """What is closed again after the worker has come to rest."""

    bus: Bus
    engine: Engine
    spool: Spool
    transfer: Transfer


def assemble(settings: Settings, session: str, opened: Opened, reports: Reports, readmission: Readmission) -> Parts:
    """Put the parts of a worker together around what was opened."""
    bus, engine, spool, clock = opened.bus, opened.engine, opened.spool, SystemClock()
    worker, slots = worker_of(settings.token), Slots(settings.slots)
    metrics.show(slots)
    inputs = Inputs(opened.transfer, settings.max_task_bytes)
    runner = Runner(engine, inputs, reports, Streams(BusLine(bus, worker), clock, settings.max_output_bytes), clock)
    catalogue = Catalogue(engine, settings.discovery_seconds)
    presence = Presence(bus, worker, Card(worker, session, engine.name, slots, catalogue))
    catalogue.on_change = presence.introduce
    deliveries = Deliveries(reports, Uploads(BusSlots(bus, worker), opened.transfer), spool)
    attempts = Attempts(slots, runner, deliveries, catalogue)
    handlers = Handlers(worker, slots, attempts, catalogue, presence)
    return Parts(worker, bus, slots, spool, runner, attempts, catalogue, presence, handlers, readmission)


def _open_http(settings: Settings) -> AbstractAsyncContextManager[Engine]:
    return open_openai_http(settings.url, settings.api_key, settings.models, settings.embedding_models)


@asynccontextmanager
async def _open_llamacpp(settings: Settings) -> AsyncIterator[Engine]:
    several = [_chat_orders(settings)]
    if settings.embedding_model:
        several.append(await asyncio.to_thread(_embedding_orders, settings))
    async with open_llamacpps(several) as engines:
        yield engines[0] if len(engines) == 1 else Several(engines)


def _chat_orders(settings: Settings) -> LlamaOrders:
    path = Path(settings.model) if settings.model else packaged_model()
    own_name = path.stem if settings.model else DEFAULT_MODEL
    return LlamaOrders(
        path=str(path),
        alias=settings.models[0] if settings.models else own_name,
        slots=settings.slots,
        context_tokens=settings.context_tokens,
        threads=settings.threads,
        answer_tokens=settings.answer_tokens,
        api_key=token_hex(16),
    )


def _embedding_orders(settings: Settings) -> LlamaOrders:
    is_packaged = settings.embedding_model == PACKAGED
    path = packaged_embedder(Path(settings.spool_dir) / "models") if is_packaged else Path(settings.embedding_model)
    return LlamaOrders(
        path=str(path),
        alias=EMBEDDER if is_packaged else path.stem,
        slots=settings.slots,
        context_tokens=EMBEDDER_CONTEXT_TOKENS,
        threads=settings.threads,
        embeds=True,
        api_key=token_hex(16),
    )


def _open_synthetic(settings: Settings) -> AbstractAsyncContextManager[Engine]:
    plan = SyntheticPlan(
        tokens=settings.synthetic_tokens,
        tokens_per_second=settings.synthetic_tokens_per_second,
        first_token_seconds=settings.synthetic_first_token_seconds,
    )
    return open_synthetic(settings.models or ("synthetic",), plan)


ENGINES: dict[EngineName, Callable[[Settings], AbstractAsyncContextManager[Engine]]] = {
    "openai_http": _open_http,
    "llamacpp": _open_llamacpp,
    "synthetic": _open_synthetic,
}


def _welcomed(parts: Parts) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        if not parts.presence.welcomed.is_set():
            raise ConnectionError("no scheduler has welcomed this worker yet")

    return probe


def _offering(parts: Parts) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        if not parts.catalogue.offers:
            raise ConnectionError("the engine offers no model")

    return probe
