"""A database that is away for a while, and what an operator sees."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.vocabulary import Usage
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.servers import MongoServer
from integration.usage.conftest import StartUsage
from integration.usage.scripted import Asker, ScriptedScheduler
from unit.usage.facts import a_finish


async def metrics_of(port: int) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{LOOPBACK}:{port}/metrics") as answer:
        lines = [line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def test_endings_wait_until_the_database_is_back(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage, mongo_server: MongoServer
) -> None:
    await scheduler.answer()
    await start_usage()
    await asker.until_answered()
    await scheduler.tell(a_finish())
    await asker.until_counted(1)
    mongo_server.kill()
    await scheduler.tell(*(a_finish() for _ in range(500)))
    mongo_server.start()
    await asker.until_answered()
    await asker.until_counted(501, within_seconds=60)
    assert (await asker.verify()).differences == ()


async def test_while_the_database_is_away_questions_are_told_so_and_the_lag_grows(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage, mongo_server: MongoServer
) -> None:
    port = free_port()
    await scheduler.answer()
    await start_usage(internal_port=port)
    await asker.until_answered()
    assert (await metrics_of(port))["gridloom_usage_ledger_lag_seconds"] == 0.0
    mongo_server.kill()
    try:
        await scheduler.tell(a_finish())
        async with asyncio.timeout(20):
            while (await metrics_of(port))["gridloom_usage_ledger_lag_seconds"] == 0.0:
                await asyncio.sleep(0.02)
        with pytest.raises(FaultError) as refused:
            await asker.usage()
        assert refused.value.fault.code is FaultCode.UNAVAILABLE
    finally:
        mongo_server.start()
    await asker.until_answered(60)
    await asker.until_counted(1, within_seconds=60)
    async with asyncio.timeout(20):
        while (await metrics_of(port))["gridloom_usage_ledger_lag_seconds"]:
            await asyncio.sleep(0.02)


async def test_metrics_count_tokens_endings_and_repetitions(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    port = free_port()
    await scheduler.answer()
    await start_usage(internal_port=port)
    await asker.until_answered()
    before = await metrics_of(port)
    fact = a_finish(model="counted", usage=Usage(tokens_in=7, tokens_out=5))
    await scheduler.tell(fact)
    await asker.until_counted(1)
    await scheduler.tell(fact, again="-again")
    async with asyncio.timeout(20):
        while (after := await metrics_of(port))["gridloom_usage_duplicates_ignored_total"] == before.get(
            "gridloom_usage_duplicates_ignored_total", 0.0
        ):
            await asyncio.sleep(0.02)
    assert after['gridloom_tokens_total{model="counted",type="input"}'] == 7
    assert after['gridloom_tokens_total{model="counted",type="output"}'] == 5
    counted = "gridloom_usage_endings_recorded_total"
    assert after[counted] - before[counted] == 1
