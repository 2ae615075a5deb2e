"""The webhook service on one screen: what it is made of, what it consumes, answers and does in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from secrets import SystemRandom

from aiohttp import ClientSession, DummyCookieJar

from gridloom_contract import registry
from gridloom_domain.addresses import networks
from gridloom_domain.targets import TargetRules
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.clock import SystemClock
from gridloom_kit.mongo import Database, ensure_indexes, open_database
from gridloom_kit.seal import Seal
from gridloom_kit.service import Service, answer, check, hear, on, task, tick
from gridloom_webhook.bodies import Bodies
from gridloom_webhook.courier import Books, Courier
from gridloom_webhook.desk import Desk
from gridloom_webhook.dispatch import Dispatcher
from gridloom_webhook.freezing import Freezer
from gridloom_webhook.gauges import Gauges
from gridloom_webhook.handlers import Facts, Files
from gridloom_webhook.keyring import Keyring
from gridloom_webhook.lanes import Board, Caps
from gridloom_webhook.post import Post
from gridloom_webhook.progress import Means, Progress
from gridloom_webhook.record import Subscription
from gridloom_webhook.rules import Terms
from gridloom_webhook.sender import Patience, Sender, open_sender
from gridloom_webhook.settings import Settings
from gridloom_webhook.signing import SigningSecrets
from gridloom_webhook.store.deliveries import DeliveryStore
from gridloom_webhook.store.endpoints import EndpointStore
from gridloom_webhook.store.indexes import INDEXES
from gridloom_webhook.store.log import DeliveryLog
from gridloom_webhook.store.secrets import SecretStore
from gridloom_webhook.store.subscriptions import SubscriptionStore
from gridloom_webhook.troubles import Troubles

NAME = registry.WEBHOOK
_GAUGE_SECONDS = 5.0
_MARGIN_SECONDS = 1.0
"""What a lease must last beyond an attempt: the time to record how it ended."""


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Service]:
    """Connect, make sure that the indexes are there, and yield the service; on leaving, close in reverse."""
    rules = target_rules(settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.mongo_url, settings.mongo_database))
        await ensure_indexes(database, INDEXES)
        bus = await stack.enter_async_context(open_bus(settings, NAME))
        sender = await stack.enter_async_context(open_sender(rules, settings.dns_servers, SystemClock()))
        stores = Stores(database, settings.retention_seconds)
        groups = await Groups.open(stack, stores)
        bodies = Bodies(bus, await stack.enter_async_context(ClientSession(cookie_jar=DummyCookieJar())))
        yield compose(settings, bus, Core(settings, bodies, sender, stores, groups), stores)


def target_rules(settings: Settings) -> TargetRules:
    """Return which targets may be called. Raises ValueError for a network that is none."""
    return TargetRules(
        allow_private=settings.allow_private,
        ports=frozenset(settings.allowed_ports),
        own_hosts=frozenset(settings.own_hosts),
        denied=networks(settings.denied_networks),
    )


class Stores:
    """The four collections."""

    def __init__(self, database: Database, retention_seconds: float) -> None:
        self.subscriptions = SubscriptionStore(database, retention_seconds)
        self.deliveries = DeliveryStore(database, retention_seconds)
        self.log = DeliveryLog(database)
        self.endpoints = EndpointStore(database)
        self.secrets = SecretStore(database)
        self._database = database

    async def ping(self) -> None:
        """Raise unless MongoDB answers."""
        await self._database.command("ping")


@dataclass(frozen=True)
class Groups:
    """Reads and writes that go together with others of the same moment."""

    put: GroupCommit[Subscription, None]
    files: Files
    books: Books

    @classmethod
    async def open(cls, stack: AsyncExitStack, stores: Stores) -> Groups:
        """Open them; they close after everything that uses them."""
        enter, subscriptions, deliveries = stack.enter_async_context, stores.subscriptions, stores.deliveries
        files = Files(
            find=await enter(GroupCommit(subscriptions.find)),
            insert=await enter(GroupCommit(deliveries.insert)),
            close=await enter(GroupCommit(subscriptions.close)),
        )
        books = Books(
            outcomes=await enter(GroupCommit(deliveries.record)),
            troubles=Troubles(await enter(GroupCommit(stores.endpoints.find)), stores.endpoints, SystemClock()),
            bury=deliveries.bury,
        )
        return cls(await enter(GroupCommit(subscriptions.put)), files, books)


class Core:
    """What sends, and what it needs."""

    def __init__(self, settings: Settings, bodies: Bodies, sender: Sender, stores: Stores, groups: Groups) -> None:
        clock = SystemClock()
        terms = Terms(settings.schedule_seconds, settings.disable_after_seconds, SystemRandom().random)
        patience = Patience(settings.connect_seconds, settings.total_seconds)
        quick = Patience(settings.progress_total_seconds, settings.progress_total_seconds)
        seal = Seal(settings.master_key)
        self.clock = clock
        self.put = groups.put
        self.files = groups.files
        self.freezer = Freezer(bodies.render, seal, terms, clock)
        self.secrets = SigningSecrets(stores.secrets, seal, clock)
        post = Post(sender, bodies, self.secrets.of, clock)
        board = Board(caps(settings))
        seconds = (settings.lease_seconds, settings.total_seconds + _MARGIN_SECONDS)
        courier = Courier(post, groups.books, terms, patience, clock)
        self.dispatcher = Dispatcher(stores.deliveries, courier, board, clock, seconds)
        means = Means(
            render=bodies.render_bytes,
            vibe=self.freezer.vibe,
            permits=stores.subscriptions,
            keep=stores.deliveries.keep_progress,
        )
        self.progress = Progress(means, post, board, quick, clock)


def caps(settings: Settings) -> Caps:
    """Return how much may be under way."""
    return Caps(
        in_flight=settings.max_in_flight,
        per_account=settings.max_per_account,
        per_lane=settings.max_per_endpoint,
        breaker_failures=settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
        breaker_most_seconds=settings.breaker_most_seconds,
    )


def compose(settings: Settings, bus: Bus, core: Core, stores: Stores) -> Service:
    """Put the parts together."""
    keyring = Keyring(stores.subscriptions, core.put, stores.deliveries.forget_signatures, core.dispatcher)
    facts = Facts(core.files, keyring, core.freezer, core.dispatcher, core.progress)
    desk = Desk(stores.log, stores.endpoints, core.secrets, core.dispatcher, core.clock)
    gauges = Gauges(stores.deliveries, stores.endpoints)
    return Service(
        NAME,
        bus=bus,
        consumes=(on(registry.facts_for(NAME), NAME, facts.on_fact),),
        hears=(hear(registry.KEY_REVOKED, keyring.on_revoked),),
        answers=(
            answer(registry.LIST_DELIVERIES, desk.on_list),
            answer(registry.REPLAY_DELIVERIES, desk.on_replay),
            answer(registry.GET_WEBHOOK_SECRET, desk.on_secret),
            answer(registry.VERIFY_WEBHOOK, desk.on_verify),
        ),
        ticks=(
            tick("sweep", settings.sweep_seconds, core.dispatcher.sweep),
            tick("gauges", _GAUGE_SECONDS, gauges.refresh),
        ),
        tasks=(task("dispatch", core.dispatcher.run), task("progress", core.progress.run)),
        checks=(check("mongo", stores.ping),),
    )
