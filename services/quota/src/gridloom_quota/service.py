"""The quota service on one screen: what it is made of, what it answers, consumes and does in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from secrets import token_hex

from gridloom_contract import registry
from gridloom_kit.batch import GroupCommit
from gridloom_kit.bus import Bus, open_bus
from gridloom_kit.clock import Clock, SystemClock
from gridloom_kit.mongo import Database, ensure_indexes, open_database
from gridloom_kit.service import Answer, Consume, Service, Tick, answer, check, tick
from gridloom_quota.audit import Audit
from gridloom_quota.books import Books
from gridloom_quota.handlers import FactDesk, GrantDesk, PlanDesk
from gridloom_quota.rates import RateBooks, RateDesk
from gridloom_quota.rules.standing import Terms
from gridloom_quota.settings import Settings
from gridloom_quota.store.accounts import AccountStore
from gridloom_quota.store.audit import AuditStore
from gridloom_quota.store.indexes import INDEXES
from gridloom_quota.store.plans import PlanStore
from gridloom_quota.store.rates import RateStore
from gridloom_quota.tending import PlanTender, Tender

NAME = registry.QUOTA
_FACTS_AT_ONCE = 512
_PING_SECONDS = 2.0
_CLOCK = SystemClock()


@asynccontextmanager
async def build(settings: Settings, clock: Clock = _CLOCK) -> AsyncIterator[Service]:
    """Connect, make sure that indexes are there, and yield the service; on leaving, close in reverse."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.mongo_url, settings.mongo_database))
        await ensure_indexes(database, INDEXES)
        bus = await stack.enter_async_context(open_bus(settings, NAME))
        connected = Connected(database, bus, clock)
        parts = await _parts_of(stack, settings, connected)
        yield Service(
            NAME,
            bus=bus,
            answers=_answers(parts),
            consumes=(Consume(registry.facts_for(NAME), NAME, parts.facts.on_fact, at_once=_FACTS_AT_ONCE),),
            ticks=_ticks(parts, settings),
            checks=(check("mongo", partial(_ping, database)),),
        )


@dataclass(frozen=True)
class Connected:
    """What the service stands on."""

    database: Database
    bus: Bus
    clock: Clock


@dataclass(frozen=True)
class Parts:
    """What answers, hears facts, and looks after accounts."""

    plans: PlanDesk
    grants: GrantDesk
    facts: FactDesk
    rates: RateDesk
    audit: Audit
    tender: Tender
    plan_tender: PlanTender


async def _parts_of(stack: AsyncExitStack, settings: Settings, connected: Connected) -> Parts:
    database, bus, clock = connected.database, connected.bus, connected.clock
    accounts, plans = AccountStore(database), PlanStore(database)
    books = Books(accounts, plans, clock, terms_of(settings))
    desk = await stack.enter_async_context(GroupCommit(books.commit, max_items=_FACTS_AT_ONCE))
    counting = await stack.enter_async_context(GroupCommit(RateBooks(RateStore(database), clock).commit, lanes=4))
    grace = timedelta(seconds=settings.grant_grace_seconds)
    return Parts(
        plans=PlanDesk(desk, accounts, plans, bus, clock),
        grants=GrantDesk(desk, accounts, lambda: f"g-{token_hex(12)}"),
        facts=FactDesk(desk),
        rates=RateDesk(counting),
        audit=Audit(AuditStore(database), accounts, bus, clock),
        tender=Tender(desk, accounts, bus, clock, grace),
        plan_tender=PlanTender(plans, accounts, bus, clock),
    )


def terms_of(settings: Settings) -> Terms:
    """Return what the rules take of the settings."""
    return Terms(
        grant_tokens=settings.grant_tokens,
        grant_seconds=settings.grant_seconds,
        grace_seconds=settings.grant_grace_seconds,
        unlimited_seconds=settings.unlimited_seconds,
        transit_seconds=settings.transit_seconds,
        history_seconds=settings.history_seconds,
    )


def _answers(parts: Parts) -> tuple[Answer, ...]:
    return (
        answer(registry.PUT_PLAN, parts.plans.on_put),
        answer(registry.DELETE_PLAN, parts.plans.on_delete),
        answer(registry.LIST_PLANS, parts.plans.on_list),
        answer(registry.ASSIGN_PLAN, parts.plans.on_assign),
        answer(registry.GET_QUOTA, parts.plans.on_get),
        answer(registry.VERIFY_QUOTA, parts.audit.on_verify),
        answer(registry.TAKE_RATE, parts.rates.on_take),
        answer(registry.TAKE_GRANTS, parts.grants.on_take),
        answer(registry.RETURN_GRANTS, parts.grants.on_return),
    )


def _ticks(parts: Parts, settings: Settings) -> tuple[Tick, ...]:
    reservation = timedelta(seconds=settings.reservation_seconds)
    return (
        tick("tend", 0.25, parts.tender.tend),
        tick("plans", 0.5, parts.plan_tender.settle),
        tick("lapse", settings.lapse_check_seconds, partial(parts.tender.lapse, reservation)),
        tick("gauges", 10.0, parts.tender.measure),
    )


async def _ping(database: Database) -> None:
    async with asyncio.timeout(_PING_SECONDS):
        await database.command("ping")
