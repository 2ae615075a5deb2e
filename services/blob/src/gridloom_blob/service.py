"""The blob service on one screen: what it is made of, what it answers, consumes and does in time."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

from gridloom_blob.bucket import Bucket, BucketSettings, open_bucket
from gridloom_blob.files import AccountFiles, FileLimits
from gridloom_blob.handlers import Confirmations, Endings, Objects, Slots
from gridloom_blob.jobs import Jobs
from gridloom_blob.plans import Plans
from gridloom_blob.reserving import Minting, Reservations
from gridloom_blob.retention import Retention
from gridloom_blob.rules import Limits, Terms
from gridloom_blob.sealing import Sealer
from gridloom_blob.settings import Settings
from gridloom_blob.store.blobs import BlobStore
from gridloom_blob.store.ended import EndedStore
from gridloom_blob.store.files import FileStore
from gridloom_blob.store.indexes import INDEXES
from gridloom_blob.sweeping import Sweeper, World
from gridloom_contract import registry
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.clock import SystemClock
from gridloom_kit.mongo import Database, ensure_indexes, open_database
from gridloom_kit.outages import said_so, told_again
from gridloom_kit.service import Answer, Consume, Service, answer, check, hear, tick

NAME = registry.BLOB
_ENDINGS_AT_ONCE = 512
_PATIENCE_SECONDS = 0.25
"""How long an ending waits for others: it is read again in days."""


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Service]:
    """Open database, bucket and bus, and put the service together. S3 may be down."""
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        remembering = await stack.enter_async_context(GroupCommit(core.ended.put, max_items=_ENDINGS_AT_ONCE))
        yield compose(settings, core, Endings(partial(remembering.submit, within_seconds=_PATIENCE_SECONDS)))


@asynccontextmanager
async def open_core(settings: Settings) -> AsyncIterator[Core]:
    """Yield everything but the wiring."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.mongo_url, settings.mongo_database))
        await ensure_indexes(database, INDEXES)
        bucket = await stack.enter_async_context(open_bucket(_bucket_settings(settings), SystemClock()))
        bus = await stack.enter_async_context(open_bus(settings, NAME))
        yield Core(settings, database, bucket, bus)


class Core:
    """What does the work, and what it needs."""

    def __init__(self, settings: Settings, database: Database, bucket: Bucket, bus: Bus) -> None:
        self.clock, self.bus, self.bucket, self.database = SystemClock(), bus, bucket, database
        self.blobs, self.ended, self.jobs = BlobStore(database), EndedStore(database), Jobs(bus)
        self.plans = Plans(bus, self.clock, _limits(settings), timedelta(days=settings.retention_days))
        terms = _terms(settings)
        minting = Minting(self.clock, secrets.token_bytes, terms, settings.upload_seconds)
        reservations = Reservations(self.blobs, minting, self.plans.limits_of, settings.max_job_files)
        sealer = Sealer(self.blobs, bucket, minting, settings.max_image_bytes)
        self.slots = Slots(reservations, bucket, self.jobs, settings.max_image_bytes)
        self.confirmations = Confirmations(self.blobs, self.jobs, sealer, minting)
        self.objects = Objects(reservations, bucket, self.blobs, sealer, settings.max_object_bytes)
        files = FileStore(database, self.blobs)
        file_limits = FileLimits(self.plans.limits_of, settings.max_file_bytes)
        self.files = AccountFiles(files, bucket, sealer, minting, file_limits)
        self.sweeper = Sweeper(World(self.blobs, bucket, self.jobs, self.ended), sealer, terms)
        self.retention = Retention(self.ended, self.blobs, self.jobs.purge, self.plans.retention_of)

    async def ping(self) -> None:
        """Raise unless MongoDB answers."""
        await self.database.command("ping")


def compose(settings: Settings, core: Core, endings: Endings) -> Service:
    """Put the parts together."""
    return Service(
        NAME,
        bus=core.bus,
        answers=_answers(core),
        hears=(hear(registry.PLAN_CHANGED, core.plans.on_changed),),
        consumes=(Consume(registry.facts_for(NAME), NAME, told_again(endings.on_finished), at_once=_ENDINGS_AT_ONCE),),
        ticks=(
            tick("sweep", settings.sweep_seconds, _now(core, core.sweeper.sweep)),
            tick("retention", settings.retention_sweep_seconds, _now(core, core.retention.sweep)),
        ),
        checks=(check("mongo", core.ping), check("s3", core.bucket.probe)),
    )


def _answers(core: Core) -> tuple[Answer, ...]:
    return (
        answer(registry.CREATE_BLOB, said_so(core.slots.on_create)),
        answer(registry.CONFIRM_BLOB, said_so(core.confirmations.on_confirm)),
        answer(registry.RESERVE_OBJECT, said_so(core.objects.on_reserve)),
        answer(registry.PRESIGN_OBJECTS, said_so(core.objects.on_presign)),
        answer(registry.CREATE_FILE, said_so(core.files.on_create)),
        answer(registry.GET_FILE, said_so(core.files.on_get)),
        answer(registry.LIST_FILES, said_so(core.files.on_list)),
        answer(registry.DELETE_FILE, said_so(core.files.on_delete)),
    )


def _now(core: Core, work: Callable[[datetime], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await work(core.clock.now())

    return run


def _limits(settings: Settings) -> Limits:
    return Limits(settings.max_account_bytes, settings.max_account_objects, settings.max_open_slots)


def _terms(settings: Settings) -> Terms:
    return Terms(
        orphan=timedelta(seconds=settings.orphan_seconds),
        late_upload=timedelta(seconds=settings.late_upload_seconds),
        settle=timedelta(seconds=settings.settle_seconds),
        recheck=timedelta(seconds=settings.recheck_seconds),
    )


def _bucket_settings(settings: Settings) -> BucketSettings:
    return BucketSettings(
        endpoint_url=settings.s3_endpoint_url,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        region=settings.s3_region,
        bucket=settings.s3_bucket,
        public_url=settings.s3_public_url,
        timeout_seconds=settings.s3_timeout_seconds,
    )
