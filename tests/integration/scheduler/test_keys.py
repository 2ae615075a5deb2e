"""Sealed keys do not outlive their use: a day after the end they are gone from the record, and nothing else is."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from gridloom_contract.vocabulary import State
from gridloom_contract.webhooks import WebhookOrder
from gridloom_kit.mongo import Database, ensure_indexes
from gridloom_scheduler.forgetting import Forgetting
from gridloom_scheduler.record import JobRecord
from gridloom_scheduler.rules import transitions
from gridloom_scheduler.rules.changes import Change
from gridloom_scheduler.rules.submission import draft_of
from gridloom_scheduler.store.indexes import INDEXES, JOBS
from gridloom_scheduler.store.jobs import JobStore
from gridloom_scheduler.store.keys import KeyStore
from gridloom_testing.builders import a_submission
from unit.scheduler.records import NOW, a_moment

ORDER = WebhookOrder(url="https://example.org/hook", sealed_key="sealed-first")
LONG_AFTER = NOW + timedelta(hours=26)


class Noon:
    """A clock that stands."""

    def now(self) -> object:
        return LONG_AFTER


@pytest.fixture
async def store(database: Database) -> JobStore:
    """An empty collection of jobs."""
    await ensure_indexes(database, INDEXES)
    return JobStore(database)


async def accepted(store: JobStore) -> JobRecord:
    draft = draft_of(a_submission(webhook=ORDER), "llama", a_moment())
    await store.insert([draft])
    return draft


async def stored(store: JobStore, change: Change) -> JobRecord:
    assert await store.apply([change]) == [True]
    return change.after


async def forget(database: Database, *, is_mine: bool = True) -> None:
    await Forgetting(KeyStore(database), Noon(), lambda: is_mine).forget()


async def text_of(database: Database, job: JobRecord) -> str:
    return str(await database[JOBS].find_one({"_id": job.id}))


async def test_a_day_after_the_end_no_sealed_key_is_left(database: Database, store: JobStore) -> None:
    canceled = await stored(store, transitions.canceled(await accepted(store), "user", a_moment()))
    retried = await stored(store, transitions.retried(canceled, 1.0, a_moment(), "sealed-again"))
    job = await stored(store, transitions.canceled(retried, "user", a_moment()))
    assert "sealed-again" in await text_of(database, job)

    await forget(database)

    left = await text_of(database, job)
    assert "sealed-" not in left
    assert "holds_keys" not in left
    known = await store.with_events(job.id)
    assert known is not None
    assert [fact.seq for fact in known.events] == [1, 2, 3, 4]
    assert known.events[0].webhook == msgspec.structs.replace(ORDER, sealed_key="")


async def test_what_lives_or_ended_lately_or_is_another_replicas_keeps_its_keys(
    database: Database, store: JobStore
) -> None:
    living = await accepted(store)
    lately = await stored(
        store, transitions.canceled(await accepted(store), "user", a_moment(LONG_AFTER - timedelta(hours=24)))
    )
    canceled = await stored(store, transitions.canceled(await accepted(store), "user", a_moment()))
    retried = await stored(store, transitions.retried(canceled, 1.0, a_moment(), "sealed-again"))

    await forget(database)

    for job in (living, lately, retried):
        assert "sealed-first" in await text_of(database, job)
    ended = await stored(store, transitions.canceled(await accepted(store), "user", a_moment()))
    await forget(database, is_mine=False)
    assert "sealed-first" in await text_of(database, ended)


async def test_a_retry_long_after_holds_keys_again(database: Database, store: JobStore) -> None:
    canceled = await stored(store, transitions.canceled(await accepted(store), "user", a_moment()))
    await forget(database)
    retried = await stored(store, transitions.retried(canceled, 1.0, a_moment(), "sealed-again"))
    again = await stored(store, transitions.canceled(retried, State.CANCELED, a_moment()))
    assert "sealed-again" in await text_of(database, again)

    await forget(database)

    assert "sealed-" not in await text_of(database, again)
