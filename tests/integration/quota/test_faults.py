"""What the quota service stands on goes away and comes back: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio

import pytest

from gridloom_contract.events import JobEvent
from gridloom_contract.fault import FaultError
from gridloom_contract.streams import STREAMS
from gridloom_kit.streams import ensure_streams
from gridloom_testing.servers import MongoServer, NatsServer
from integration.quota.conftest import Replica, StartQuota
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler


def ten_jobs(grant: str | None) -> list[JobEvent]:
    """Ten jobs that reserve 50 tokens each and use 40."""
    jobs = [JobStory("acme") for _ in range(10)]
    return [*(job.assigned(grant, 50) for job in jobs), *(job.finished(40) for job in jobs)]


async def test_facts_told_while_no_quota_service_runs_are_counted_when_one_does(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler, ledger: Ledger
) -> None:
    first = await start_quota()
    await gateway.plan_of("acme", monthly_tokens=8_000)
    grant = await scheduler.take("acme", 500)
    await first.kill()
    facts = ten_jobs(grant.grant)
    ledger.book(*facts)
    await scheduler.tell(*facts)

    await start_quota()

    month = await gateway.until("acme", lambda month: month.used == 400)
    assert (month.reserved, month.headroom) == (0, 8_000 - 400 - 500)
    assert (await gateway.verify()).differences == ()


async def test_facts_wait_for_the_database(
    quota: Replica, gateway: Gateway, scheduler: Scheduler, ledger: Ledger, mongo_server: MongoServer
) -> None:
    facts = ten_jobs(None)
    ledger.book(*facts)
    with mongo_server.suspended():
        await scheduler.tell(*facts)
        with pytest.raises(FaultError):
            async with asyncio.timeout(8):
                await scheduler.take("acme", 1)
    await gateway.until("acme", lambda month: month.used == 400, within_seconds=40)
    assert (await gateway.verify()).differences == ()


async def test_facts_told_anew_after_the_stream_was_wiped_count_once(
    quota: Replica, gateway: Gateway, scheduler: Scheduler, ledger: Ledger, nats_server: NatsServer
) -> None:
    facts = ten_jobs(None)
    ledger.book(*facts)
    await scheduler.tell(*facts[:15])
    await gateway.until("acme", lambda month: month.used == 200)

    await asyncio.to_thread(nats_server.wipe_store)
    await gateway.until_answered()
    await ensure_streams(scheduler.bus, STREAMS)
    await scheduler.tell(*facts)

    month = await gateway.until("acme", lambda month: month.used == 400, within_seconds=40)
    assert month.reserved == 0
    assert (await gateway.verify()).differences == ()
