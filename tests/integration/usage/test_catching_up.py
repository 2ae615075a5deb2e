"""Facts that never come: a wiped stream, a stream that forgot, a service that was away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from gridloom_contract.vocabulary import State
from gridloom_kit.mongo import Database
from gridloom_testing.servers import NatsServer
from integration.usage.conftest import StartUsage
from integration.usage.scripted import Asker, ScriptedScheduler
from unit.usage.facts import NOON, a_finish, another_finish


async def until_asked(scheduler: ScriptedScheduler, times: int) -> None:
    async with asyncio.timeout(20):
        while len(scheduler.asked) < times:
            await asyncio.sleep(0.02)


async def test_what_ended_while_the_service_was_away_and_the_stream_was_wiped_is_counted(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage, nats_server: NatsServer
) -> None:
    await scheduler.tell(*(a_finish() for _ in range(1_200)))
    nats_server.wipe_store()
    await scheduler.open()
    await scheduler.answer()
    await start_usage()
    await asker.until_answered()
    await asker.until_counted(1_200)
    assert (await asker.verify()).differences == ()


async def test_a_stream_that_is_wiped_under_the_service_loses_no_ending(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage, nats_server: NatsServer
) -> None:
    await scheduler.answer()
    await start_usage(catch_up_seconds=0.5)
    await asker.until_answered()
    await scheduler.tell(*(a_finish() for _ in range(300)))
    nats_server.wipe_store()
    await scheduler.open()
    await scheduler.tell(*(a_finish() for _ in range(300)))
    await asker.until_answered()
    await asker.until_counted(600)
    assert (await asker.verify()).differences == ()


async def test_facts_that_are_lost_while_the_service_runs_are_counted_at_the_next_comparison(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await scheduler.answer()
    await start_usage(catch_up_seconds=0.2)
    await asker.until_answered()
    await scheduler.tell(a_finish())
    scheduler.ended(a_finish(at=NOON + timedelta(hours=1)))
    report = await asker.until_counted(2)
    assert report.total.jobs == 2


async def test_all_endings_of_a_retried_job_are_caught_up(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    first = a_finish(state=State.FAILED)
    await scheduler.answer()
    scheduler.ended(first, another_finish(first, at=NOON + timedelta(hours=1)))
    await start_usage()
    await asker.until_answered()
    report = await asker.until_counted(2)
    assert (report.total.failed, report.total.succeeded) == (1, 1)


async def test_a_fact_that_comes_after_it_was_caught_up_counts_once(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    late = a_finish()
    await scheduler.answer()
    scheduler.ended(late)
    await start_usage()
    await asker.until_answered()
    await asker.until_counted(1)
    await scheduler.tell(late)
    await scheduler.tell(a_finish())
    report = await asker.until_counted(2)
    assert report.total.jobs == 2


async def test_a_comparison_goes_on_where_the_last_one_ended(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage, database: Database
) -> None:
    await scheduler.answer()
    scheduler.ended(*(a_finish() for _ in range(3)))
    first = await start_usage()
    await asker.until_answered()
    await asker.until_counted(3)
    await until_asked(scheduler, 2)
    await first.stop()
    asked = len(scheduler.asked)
    await start_usage()
    await until_asked(scheduler, asked + 1)
    assert scheduler.asked[asked].since == NOON
    assert scheduler.asked[asked].after == max(scheduler.jobs)


async def test_an_ending_that_is_too_young_is_left_to_the_bus(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    young = a_finish(at=datetime.now(UTC))
    await scheduler.answer()
    scheduler.ended(young, a_finish())
    await start_usage(settle_seconds=3600.0, catch_up_seconds=0.1)
    await asker.until_answered()
    await asker.until_counted(1)
    await until_asked(scheduler, 6)
    assert (await asker.usage()).total.jobs == 1


async def test_without_a_scheduler_facts_are_counted_all_the_same(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await start_usage()
    await asker.until_answered()
    await scheduler.tell(a_finish())
    assert (await asker.until_counted(1)).total.jobs == 1
