"""The gateway as a value: everything it consists of is constructed here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from gridloom_contract.fleet import KeyRevoked
from gridloom_contract.registry import GATEWAY, KEY_REVOKED, PLAN_CHANGED, RENDER_JOB
from gridloom_domain.ids import RANDOM_BYTES, new_id
from gridloom_domain.targets import TargetRules
from gridloom_gateway import docs
from gridloom_gateway.accounts import Accounts
from gridloom_gateway.address import Addresses
from gridloom_gateway.app import DIALECTS, Frame, Row, build_app, opened
from gridloom_gateway.auth import AdminGate, Authenticator
from gridloom_gateway.batches import Batches
from gridloom_gateway.blobs import Files
from gridloom_gateway.claiming import GroupedClaims, open_claims
from gridloom_gateway.clerk import Clerk
from gridloom_gateway.clerk.work import Tools
from gridloom_gateway.desk import Desk, Questions
from gridloom_gateway.dialects.admin import plans as admin_plans
from gridloom_gateway.dialects.admin import routes as admin
from gridloom_gateway.dialects.admin import usage as admin_usage
from gridloom_gateway.dialects.native import routes as native
from gridloom_gateway.dialects.native.translate import HTTP
from gridloom_gateway.dialects.openai.translate.lines import BatchLanguage
from gridloom_gateway.door import Door
from gridloom_gateway.entrance import Entrance
from gridloom_gateway.follow import Rhythm
from gridloom_gateway.followers import Followers
from gridloom_gateway.gathering import Gathering
from gridloom_gateway.idempotency import Idempotency
from gridloom_gateway.intake import Intake
from gridloom_gateway.key_use import KeyUse
from gridloom_gateway.library import Library
from gridloom_gateway.limits import FailureLimit
from gridloom_gateway.listener import Limits, Listener
from gridloom_gateway.logs import Logs
from gridloom_gateway.objects import Objects
from gridloom_gateway.office import Fleet, Office
from gridloom_gateway.openapi import describe, describe_one
from gridloom_gateway.plans import Plans
from gridloom_gateway.quota_desk import QuotaDesk
from gridloom_gateway.rates import Rates
from gridloom_gateway.reading import BodyReader
from gridloom_gateway.rendering import Render, Rendering
from gridloom_gateway.replay import chunks_so_far
from gridloom_gateway.room import Room
from gridloom_gateway.route import Dialect
from gridloom_gateway.settings import Settings
from gridloom_gateway.sites import sites_of
from gridloom_gateway.store import INDEXES, Store
from gridloom_gateway.submissions import Submissions
from gridloom_gateway.supplies import Supplies, Terms
from gridloom_gateway.usage_desk import UsageDesk
from gridloom_gateway.waiting import WaitingRoom
from gridloom_gateway.webhooks import Deliveries, WebhookOrders
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.clock import Clock, SystemClock
from gridloom_kit.mongo import Database, ensure_indexes, open_database
from gridloom_kit.run import version_of
from gridloom_kit.seal import Seal
from gridloom_kit.service import Service, answer, check, hear, task, tick
from gridloom_kit.transfer import open_transfer

_FOLLOWER_TICK_SECONDS = 1.0


@asynccontextmanager
async def build(settings: Settings, rows: Sequence[Row] = DIALECTS) -> AsyncIterator[Service]:
    """Yield the gateway, connected to NATS and MongoDB. What is opened here is closed in reverse, after the stop.

    `rows` are the public APIs. Raises `SettingsError` for host names that serve something else.
    """
    clock = SystemClock()
    async with (
        open_database(settings.mongo_url, settings.mongo_database) as database,
        open_bus(settings, GATEWAY) as bus,
        open_transfer() as transfer,
        Intake(bus, (objects := Objects(bus, transfer)), clock, settings.submit_deadline_seconds) as intake,
    ):
        store = await _open_store(database)
        async with GroupCommit(store.keys_with_accounts) as lookups, open_claims(store.claims) as claims:
            authenticator = Authenticator(
                lookups.submit,
                (limit := FailureLimit(settings.auth_failures_per_minute, clock.monotonic)),
                clock,
                pepper=settings.api_key_pepper,
                cache_seconds=settings.key_cache_seconds,
            )
            addresses = Addresses(settings.trusted_proxies, settings.public_base_url)
            door = Door(authenticator, AdminGate(settings.admin_key, limit), addresses)
            library = Library(bus, transfer, settings.max_file_bytes)
            plans = Plans(bus, clock)
            parts = _Parts(settings, clock, bus, store, claims, objects, plans, addresses, tuple(rows), library)
            yield _assemble(parts, authenticator, door, intake)


async def _open_store(database: Database) -> Store:
    await ensure_indexes(database, INDEXES)
    return Store(database)


@dataclass(frozen=True)
class _Parts:
    """What nearly everything is made of."""

    settings: Settings
    clock: Clock
    bus: Bus
    store: Store
    claims: GroupedClaims
    objects: Objects
    plans: Plans
    addresses: Addresses
    rows: tuple[Row, ...]
    library: Library

    def mint(self) -> str:
        """Return a new id."""
        return new_id(int(self.clock.now().timestamp() * 1000), os.urandom(RANDOM_BYTES))

    def webhook_orders(self) -> WebhookOrders:
        """Return what orders webhooks. Raises `SealError` for a master key that is none."""
        own = urlsplit(self.settings.public_base_url).hostname
        rules = TargetRules(
            allow_private=self.settings.webhook_allow_private,
            ports=frozenset(self.settings.webhook_allowed_ports),
            own_hosts=frozenset([own] if own else []),
        )
        return WebhookOrders(rules, Seal(self.settings.webhook_master_key))

    def followers(self, questions: Questions) -> Followers:
        """Return all open streams, of which there are none yet."""
        rhythm = Rhythm(self.settings.stream_heartbeat_seconds, self.settings.stream_recheck_seconds)
        followers = Followers(self.bus, questions.get, self.objects.reading, rhythm)
        self.bus.on_reconnect(followers.reconnected)
        return followers

    def idempotency(self, bodies: BodyReader) -> Idempotency:
        """Return what minds the `Idempotency-Key` of requests."""
        return Idempotency(self.claims, bodies, self.clock, self.mint, secret=self.settings.api_key_pepper)

    def supplies(self, desk: Desk, bodies: BodyReader, questions: Questions, usage: UsageDesk) -> Supplies:
        """Return what dialects are opened with."""
        settings = self.settings
        return Supplies(
            desk=desk,
            logs=Logs(desk.timeline, partial(chunks_so_far, self.bus), self.objects.reading),
            bodies=bodies,
            webhooks=self.webhook_orders(),
            deliveries=Deliveries(questions),
            files=Files(self.bus),
            usage=usage,
            batches=Batches(questions, desk),
            library=self.library,
            clock=self.clock,
            terms=Terms(
                stall_seconds=settings.stream_write_timeout_seconds,
                capacity_wait_seconds=settings.capacity_wait_seconds,
                remotejobs_words=settings.remotejobs_words,
                body_seconds=settings.body_timeout_seconds,
            ),
        )

    def clerk(self, supplies: Supplies) -> Clerk:
        """Return who works on batches."""
        tools = Tools(
            supplies.batches,
            supplies.desk,
            self.library,
            BatchLanguage(),
            self.clock,
            lease_seconds=self.settings.batch_lease_seconds,
            keep_seconds=self.settings.batch_files_kept_seconds,
        )
        return Clerk(tools)

    def app(self, dialects: Sequence[Dialect], entrance: Entrance) -> web.Application:
        """Return the application that serves all of them. Raises `SettingsError`."""
        settings, pages = self.settings, docs.Docs()
        about = docs.dialect(pages, native.render, HTTP)
        version, base = version_of(GATEWAY), settings.public_base_url.rstrip("/")
        pages.publish(describe((*dialects, about), version, base or "/"), dialects)
        frame = Frame(
            entrance,
            native.render,
            settings.max_body_bytes,
            about,
            lambda mount, dialect: docs.answering(partial(describe_one, dialect, version, f"{base}{mount}" or "/")),
        )
        return build_app(dialects, frame, self.addresses.host_of, sites_of(settings.mounts, dialects))

    def limits(self) -> Limits:
        """Return what connections may take."""
        settings = self.settings
        return Limits(
            header_timeout_seconds=settings.header_timeout_seconds,
            keepalive_seconds=settings.keepalive_seconds,
            max_connections=settings.max_connections,
            stop_grace_seconds=settings.stop_grace_seconds / 2,
        )

    async def announce(self, news: KeyRevoked) -> None:
        """Tell every gateway, this one too, that a key is not what it was."""
        await self.bus.publish(KEY_REVOKED.subject, news)


def _assemble(parts: _Parts, authenticator: Authenticator, door: Door, intake: Intake) -> Service:
    settings, bus, clock, store = parts.settings, parts.bus, parts.clock, parts.store
    questions = Questions(bus, settings.answer_timeout_seconds)
    followers = parts.followers(questions)
    submissions = Submissions(intake, parts.plans, WaitingRoom(questions.waiting, clock))
    desk = Desk(questions, submissions, followers, parts.objects, parts.mint)
    gathering = Gathering(Room(settings.large_bodies_bytes), settings.body_timeout_seconds)
    bodies = BodyReader(settings.body_timeout_seconds, gathering)
    rates = Rates(bus, parts.plans, clock)
    entrance = Entrance(door, rates, parts.idempotency(bodies), gathering)
    usage = UsageDesk(bus, parts.plans, clock)
    supplies = parts.supplies(desk, bodies, questions, usage)
    dialects = opened(parts.rows, supplies)
    listener = Listener(
        parts.app((*dialects, _operators(parts, bodies, questions, usage)), entrance),
        (settings.host, settings.port),
        parts.limits(),
        before_stop=followers.close,
    )

    return Service(
        GATEWAY,
        bus,
        answers=(answer(RENDER_JOB, Rendering(_documents(dialects), parts.objects).on_render),),
        hears=(
            hear(KEY_REVOKED, authenticator.forget),
            hear(PLAN_CHANGED, parts.plans.forget),
            hear(PLAN_CHANGED, rates.forget),
        ),
        ticks=(tick("followers", _FOLLOWER_TICK_SECONDS, followers.tick),),
        tasks=(
            task("http", listener.run),
            task("clerk", parts.clerk(supplies).run),
            task("key_use", KeyUse(authenticator.take_used, store.note_used, clock).run),
        ),
        checks=(check("mongo", store.ping), check("http", listener.probe)),
    )


def _documents(dialects: Sequence[Dialect]) -> dict[str, Render]:
    return {dialect.name: dialect.document for dialect in dialects if dialect.document is not None}


def _operators(parts: _Parts, bodies: BodyReader, questions: Questions, usage: UsageDesk) -> Dialect:
    """Return the API that is no dialect: it has the office behind it, not the desk."""
    settings = parts.settings
    accounts = Accounts(parts.store, parts.clock, parts.mint, parts.announce, pepper=settings.api_key_pepper)
    office = Office(accounts, Fleet(questions, accounts), settings.key_grace_seconds)
    return admin.dialect(
        admin.Admin(office, bodies),
        *admin_usage.routes(admin_usage.UsageRoutes(usage, accounts)),
        *admin_plans.routes(admin_plans.PlanRoutes(QuotaDesk(parts.bus, parts.plans, accounts), bodies)),
    )
