"""Verification proves the books, finds each kind of damage, and takes no work in progress for damage."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridloom_contract.events import JobFinished
from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.vocabulary import Usage
from gridloom_kit.mongo import Database
from integration.usage.conftest import StartUsage
from integration.usage.scripted import Asker, ScriptedScheduler
from unit.usage.facts import a_finish

GROUP = "account acc1, 2026-01-15, tag 'a', model 'synthetic', key key1"


@pytest.fixture
async def facts(scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage) -> list[JobFinished]:
    """Three jobs in the books."""
    await scheduler.answer()
    await start_usage()
    await asker.until_answered()
    facts = [a_finish(tag="a") for _ in range(3)]
    await scheduler.tell(*facts)
    await asker.until_counted(3)
    return facts


async def test_right_books_are_proven(facts: list[JobFinished], asker: Asker) -> None:
    report = await asker.verify()
    assert (report.checked, report.differences) == (4, ())


async def test_a_line_that_vanished_is_named(facts: list[JobFinished], asker: Asker, database: Database) -> None:
    await database["ledger"].delete_one({"_id": facts[1].job})
    assert (await asker.verify()).differences == (
        f"job {facts[1].job}: its ending 4 is not in the ledger",
        f"{GROUP}: the rollup has jobs 3, the ledger 2",
        f"{GROUP}: the rollup has succeeded 3, the ledger 2",
        f"{GROUP}: the rollup has tokens_in 9, the ledger 6",
        f"{GROUP}: the rollup has tokens_out 6, the ledger 4",
        f"{GROUP}: the rollup has engine_microseconds 300000, the ledger 200000",
    )


async def test_a_line_of_no_job_is_named(facts: list[JobFinished], asker: Asker, scheduler: ScriptedScheduler) -> None:
    for fact in facts:
        del scheduler.jobs[fact.job]
    assert (await asker.verify()).differences == tuple(
        f"job {fact.job}: the ledger has a line, but no job says that it ended"
        for fact in sorted(facts, key=lambda fact: fact.job)
    )


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"tokens_in": 4}, "its line in the ledger is not the sum of its endings"),
        ({"model": "other"}, "the ledger has model other, the job synthetic"),
        ({"account": "acc2"}, "the ledger has account acc2, the job acc1"),
        ({"entries.0.tokens_out": 1, "tokens_out": 1}, "ending 4: the ledger has tokens_out 1, the job 2"),
        ({"entries.0.seq": 5}, "its ending 4 is not in the ledger"),
    ],
)
async def test_a_changed_line_is_named(
    facts: list[JobFinished], asker: Asker, database: Database, damage: dict[str, Any], told: str
) -> None:
    await database["ledger"].update_one({"_id": facts[0].job}, {"$set": damage})
    first = (await asker.verify()).differences[0]
    assert first.startswith(f"job {facts[0].job}")
    assert first.endswith(told)


async def test_a_changed_rollup_is_named(facts: list[JobFinished], asker: Asker, database: Database) -> None:
    await database["rollups"].update_one({}, {"$inc": {"tokens_out": 2**40}})
    assert (await asker.verify()).differences == (f"{GROUP}: the rollup has tokens_out {6 + 2**40}, the ledger 6",)


async def test_a_rollup_that_vanished_is_named(facts: list[JobFinished], asker: Asker, database: Database) -> None:
    await database["rollups"].delete_one({})
    differences = (await asker.verify()).differences
    assert differences
    assert all(each.startswith(f"{GROUP}: the rollup lacks") for each in differences)


async def test_a_rollup_of_an_account_without_lines_is_named(
    facts: list[JobFinished], asker: Asker, database: Database
) -> None:
    rollup = await database["rollups"].find_one({})
    assert rollup is not None
    await database["rollups"].insert_one(rollup | {"_id": rollup["_id"] | {"account": "acc2"}})
    assert (await asker.verify()).differences[0].startswith("account acc2, 2026-01-15")


async def test_what_a_crash_left_open_is_no_difference(
    facts: list[JobFinished], asker: Asker, database: Database, scheduler: ScriptedScheduler
) -> None:
    line = await database["ledger"].find_one({"_id": facts[0].job})
    assert line is not None
    await database["batches"].insert_one(
        {"_id": {"writer": "dead", "number": 1}, "opened_at": datetime.now(UTC) + timedelta(days=1), "facts": b"[]"}
    )
    entry = line["entries"][0] | {"batch": {"writer": "dead", "number": 1}}
    scheduler.ended(fact := a_finish())
    await database["ledger"].insert_one(line | {"_id": fact.job, "tag": None, "entries": [entry]})
    assert (await asker.verify()).differences == ()


async def test_a_young_ending_is_no_difference(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await scheduler.answer()
    await start_usage(settle_seconds=60.0)
    await asker.until_answered()
    scheduler.ended(a_finish(at=datetime.now(UTC)))
    assert (await asker.verify()).differences == ()
    scheduler.ended(a_finish(at=datetime.now(UTC) - timedelta(minutes=2)))
    assert len((await asker.verify()).differences) == 1


async def test_verification_under_load_takes_nothing_for_damage(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await scheduler.answer()
    for _ in range(2):
        await start_usage(settle_seconds=60.0, batch_endings=8)
    await asker.until_answered()
    now = datetime.now(UTC)
    facts = [a_finish(at=now, tag=f"t{number % 3}") for number in range(1_500)]
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(scheduler.tell(*facts))
        while not telling.done():
            assert (await asker.verify()).differences == ()
    await asker.until_counted(1_500)
    assert (await asker.verify()).differences == ()


async def test_many_differences_are_told_by_their_first_and_their_number(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await scheduler.answer()
    await start_usage(catch_up_seconds=3600.0)
    await asker.until_answered()
    while not scheduler.asked:
        await asyncio.sleep(0.02)
    scheduler.ended(*(a_finish() for _ in range(1_200)))
    report = await asker.verify()
    assert report.differences[0].startswith(f"job {min(scheduler.jobs)}")
    assert report.differences[-1] == "and 700 more"


async def test_without_a_scheduler_nothing_is_proven(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await start_usage()
    await asker.until_answered()
    with pytest.raises(FaultError) as refused:
        await asker.verify()
    assert refused.value.fault.code is FaultCode.UNAVAILABLE


async def test_an_estimate_stays_marked_through_the_books(
    facts: list[JobFinished], asker: Asker, scheduler: ScriptedScheduler
) -> None:
    await scheduler.tell(a_finish(usage=Usage(tokens_in=1, tokens_out=1, estimated=True)))
    await asker.until_counted(4)
    assert (await asker.usage(group_by=("model",))).rows[0].estimated_jobs == 1
    assert (await asker.verify()).differences == ()
