"""The scheduler on one screen: what it is made of, what it answers, hears and does in time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import msgspec

from gridloom_contract import registry
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.mongo import ensure_indexes, open_database
from gridloom_kit.service import Answer, Service, Tick, answer, check, hear, task, tick
from gridloom_scheduler.access import Bouncer, Tokens
from gridloom_scheduler.assigner import Assigner
from gridloom_scheduler.batches import BatchDesk
from gridloom_scheduler.callout import Callout, Signer
from gridloom_scheduler.canceling import Canceling
from gridloom_scheduler.core import Core
from gridloom_scheduler.drafting import Drafting
from gridloom_scheduler.duty import Duty, Reporting
from gridloom_scheduler.ending_desk import EndingDesk
from gridloom_scheduler.file_desk import FileDesk
from gridloom_scheduler.fleet_handlers import ModelDesk, WorkerDesk
from gridloom_scheduler.foretelling import Foretelling, store
from gridloom_scheduler.forgetting import FORGETTING_SECONDS, Forgetting
from gridloom_scheduler.gauges import Gauges
from gridloom_scheduler.handlers import JobDesk, Orders, Questions
from gridloom_scheduler.intake import Intake
from gridloom_scheduler.ledger import Together
from gridloom_scheduler.lookout import Lookout
from gridloom_scheduler.outputs import Outputs
from gridloom_scheduler.reception import Reception
from gridloom_scheduler.reconciliation import Reconciliation
from gridloom_scheduler.repeats import Repeats
from gridloom_scheduler.reports import Reports
from gridloom_scheduler.retelling import RETELLING_SECONDS, Retold
from gridloom_scheduler.retirement import HandBack, Retirement
from gridloom_scheduler.settings import Settings
from gridloom_scheduler.shards import Shards
from gridloom_scheduler.store import Stores
from gridloom_scheduler.store.indexes import INDEXES
from gridloom_scheduler.streamwatch import StreamWatch
from gridloom_scheduler.sweeps import Republisher, Sweeps
from gridloom_scheduler.thaw import Thawing
from gridloom_scheduler.vigil import Vigil

NAME = registry.SCHEDULER
_MOST_REPORTS = 256
"""So many are judged at once: what they change is stored together all the same."""


@dataclass(frozen=True)
class Lines:
    """The three NATS connections: as the scheduler, as the auth callout, as the system user that ends connections."""

    bus: Bus
    callout: Bus
    system: Bus


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Service]:
    """Connect, make sure that streams and indexes are there, and yield the service; on leaving, close in reverse."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.mongo_url, settings.mongo_database))
        await ensure_indexes(database, INDEXES)
        lines = await open_lines(stack, settings)
        yield await compose(stack, settings, Stores(database), lines)


async def open_lines(stack: AsyncExitStack, settings: Settings) -> Lines:
    """Open the NATS connections."""
    callout = _as_user(settings, settings.callout_user, settings.callout_password)
    system = _as_user(settings, settings.system_user, settings.system_password)
    return Lines(
        bus=await stack.enter_async_context(open_bus(settings, NAME)),
        callout=await stack.enter_async_context(open_bus(callout, f"{NAME}-callout")),
        system=await stack.enter_async_context(open_bus(system, f"{NAME}-system")),
    )


def _as_user(settings: Settings, user: str, password: str) -> Settings:
    return msgspec.structs.replace(settings, nats_user=user, nats_password=password)


async def compose(stack: AsyncExitStack, settings: Settings, stores: Stores, lines: Lines) -> Service:
    """Put the parts together and open what must be open before the first message."""
    bus = lines.bus
    core = Core(settings, stores, bus)
    stack.push_async_callback(core.treasury.close)
    await core.make_streams()
    await core.catalogue.load()
    await core.census.refresh()
    tokens = Tokens(settings.pepper, os.urandom)
    signer = Signer(settings.callout_seed, core.chance.clock)
    await Callout(lines.callout, stores.workers, tokens, signer, settings.worker_session_seconds).open()
    watch = await _watch_of(stack, core, stores, bus)
    await watch.streams.look()
    bus.on_reconnect(watch.streams.look_soon)
    desks = await _desks_of(stack, core, stores, lines, tokens)
    return Service(
        NAME,
        bus=bus,
        answers=_answers(desks),
        hears=(
            hear(registry.WAKE, core.doorbell.hear),
            hear(registry.QUOTA_RELEASED, watch.thawing.on_released),
            hear(registry.PLAN_CHANGED, core.treasury.on_plan_changed),
        ),
        ticks=_ticks(core, stores, watch, desks),
        tasks=(
            task("outbox", core.outbox.run),
            task("repeats", Repeats(core.fleet, stores.jobs, bus).run),
            task("assigner", watch.assigner.run),
            task("treasury", core.treasury.run),
            task("thawing", watch.thawing.run),
            task("announcements", partial(core.doorbell.announce_to, bus, lambda: watch.shards.is_alone)),
            task("shards", watch.shards.run),
        ),
        checks=(check("mongo", stores.ping),),
    )


@dataclass(frozen=True)
class Watch:
    """What looks after the fleet."""

    shards: Shards
    assigner: Assigner
    thawing: Thawing
    reception: Reception
    reconciliation: Reconciliation
    vigil: Vigil
    streams: StreamWatch


@dataclass(frozen=True)
class Desks:
    """What answers the gateway."""

    jobs: JobDesk
    batches: BatchDesk
    orders: Orders
    questions: Questions
    endings: EndingDesk
    files: FileDesk
    models: ModelDesk
    workers: WorkerDesk
    hand_back: HandBack


async def _watch_of(stack: AsyncExitStack, core: Core, stores: Stores, bus: Bus) -> Watch:
    storing = await stack.enter_async_context(GroupCommit(partial(store, core.ledger)))
    foretelling = Foretelling(core.ledger.under_way, core.fleet, core.post, storing)
    reports = Reports(stores.jobs, core.fleet, foretelling, core.chance)
    reporting = await stack.enter_async_context(GroupCommit(reports.record, lanes=_MOST_REPORTS))
    reception = Reception(stores.workers, core.catalogue, core.consumers, core.greeter, core.doorbell)
    reconciliation = Reconciliation(core.fleet, stores.jobs, stores.workers, core.recall, core.doorbell)
    outputs = Outputs(bus, stores.jobs, core.fleet)
    duty = Duty(bus, stores.workers, reception, reconciliation, Reporting(reporting, outputs, core.ledger.under_way))
    lookout = Lookout(stores.queue, core.fleet, core.claiming, core.quotas)
    shards = Shards(bus, core.chance.ids.token(), core.make_streams, duty.begin, duty.end)
    return Watch(
        shards=shards,
        assigner=Assigner(lookout, core.fleet, core.claims, core.claiming, core.doorbell),
        thawing=Thawing(stores.holds, core.quotas, core.ledger, core.pace, shards.leads),
        reception=reception,
        reconciliation=reconciliation,
        vigil=Vigil(core.doorbell, stores.workers, core.ledger, core.recall, core.chance),
        streams=StreamWatch(bus, core.make_streams, core.fleet, core.greeter),
    )


async def _desks_of(stack: AsyncExitStack, core: Core, stores: Stores, lines: Lines, tokens: Tokens) -> Desks:
    most_bytes = lines.bus.max_payload_bytes
    drafting = Drafting(core.catalogue, stores.workers, core.providers, core.chance, core.file_terms)
    intake = Intake(drafting, core.pace, stores.jobs, core.claims, core.ledger)
    accepting = await stack.enter_async_context(GroupCommit(intake.accept))
    questions = Questions(stores.jobs, stores.queue, core.census, core.ledger.under_way, most_bytes)
    changing = await stack.enter_async_context(GroupCommit(core.ledger.commit))
    orders = Orders(stores.jobs, stores.queue, Together(changing, core.ledger.under_way), core.recall, core.pace)
    hand_back = HandBack(stores.jobs, stores.workers, core.ledger, core.recall, core.chance)
    canceling = Canceling(stores.batches, core.ledger, core.recall, core.chance)
    retirement = Retirement(Bouncer(lines.system), core.consumers, hand_back, core.recall)
    return Desks(
        jobs=JobDesk(accepting, questions, orders, core.followed, canceling),
        batches=BatchDesk(stores.batches, canceling, core.chance),
        orders=orders,
        questions=questions,
        endings=EndingDesk(stores.endings, core.chance.clock, most_bytes),
        files=FileDesk(stores.jobs, orders, core.ledger, core.pace, most_bytes),
        models=ModelDesk(core.catalogue, core.census, stores.queue),
        workers=WorkerDesk(stores.workers, stores.jobs, tokens, retirement, core.doorbell),
        hand_back=hand_back,
    )


def _answers(desks: Desks) -> tuple[Answer, ...]:
    return (
        answer(registry.SUBMIT_JOBS, desks.jobs.on_submit),
        answer(registry.GET_JOB, desks.jobs.on_get),
        answer(registry.GET_JOBS, desks.questions.on_get_many),
        answer(registry.LIST_JOBS, desks.questions.on_list),
        answer(registry.GET_TIMELINE, desks.questions.on_timeline),
        answer(registry.CANCEL_JOB, desks.jobs.on_cancel),
        answer(registry.CANCEL_ALL_JOBS, desks.orders.on_cancel_all),
        answer(registry.RETRY_JOB, desks.jobs.on_retry),
        answer(registry.REPRIORITISE_JOB, desks.jobs.on_reprioritise),
        *_batch_answers(desks.batches),
        answer(registry.LIST_ENDINGS, desks.endings.on_list),
        answer(registry.HOLD_JOB, desks.files.on_hold),
        answer(registry.ATTACH_BLOB, desks.files.on_attach),
        answer(registry.PURGE_JOB_DATA, desks.files.on_purge),
        answer(registry.LIST_MODELS, desks.models.on_list),
        answer(registry.LIST_WORKERS, desks.workers.on_list),
        answer(registry.ENROL_WORKER, desks.workers.on_enrol),
        answer(registry.REVOKE_WORKER, desks.workers.on_revoke),
        answer(registry.DRAIN_WORKER, desks.workers.on_drain),
    )


def _batch_answers(batches: BatchDesk) -> tuple[Answer, ...]:
    return (
        answer(registry.CREATE_BATCH, batches.on_create),
        answer(registry.GET_BATCH, batches.on_get),
        answer(registry.LIST_BATCHES, batches.on_list),
        answer(registry.CANCEL_BATCH, batches.on_cancel),
        answer(registry.WITHDRAW_BATCH, batches.on_withdraw),
        answer(registry.LEASE_BATCH, batches.on_lease),
        answer(registry.NOTE_BATCH, batches.on_note),
        answer(registry.BATCH_DONE, batches.on_done),
    )


def _ticks(core: Core, stores: Stores, watch: Watch, desks: Desks) -> tuple[Tick, ...]:
    leads = watch.shards.leads
    sweeps = Sweeps(stores.jobs, core.ledger, core.recall, core.chance, leads)
    republisher = Republisher(stores.jobs, core.outbox.stream, core.chance, leads)
    retold = Retold(stores.retellings, core.outbox.stream, core.chance.clock, watch.streams.born, leads)
    gauges = Gauges(stores.queue, stores.jobs, stores.workers, core.catalogue, core.chance.clock)
    return (
        tick("vigil", 0.5, watch.vigil.look),
        tick("recheck", 0.25, watch.reconciliation.asked_for),
        tick("reconciliation", 5.0, watch.reconciliation.all),
        tick("look_everywhere", 2.0, watch.assigner.look_everywhere),
        tick("census", 2.0, core.census.refresh),
        tick("sightings", 5.0, watch.reception.note_sightings),
        tick("streams", 1.0, watch.streams.look),
        tick("sweeps", 1.0, sweeps.sweep),
        tick("outbox", 1.0, republisher.republish),
        tick("grants", 1.0, core.treasury.give_back),
        tick("thawing", 0.5, watch.thawing.look),
        tick("retelling", RETELLING_SECONDS, retold.go_on),
        tick("forgetting", FORGETTING_SECONDS, Forgetting(stores.keys, core.chance.clock, leads).forget),
        tick("barred", 5.0, partial(desks.hand_back.sweep, leads)),
        tick("gauges", 10.0, partial(gauges.measure, leads)),
    )
