"""The usage service dies at every step, as a process; started again, ledger and rollups are exact."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import gridloom_usage
from gridloom_contract.events import JobFinished
from gridloom_contract.registry import USAGE
from gridloom_contract.usage import GetUsage, UsageReport
from gridloom_contract.vocabulary import State, Usage
from gridloom_kit.mongo import Database
from gridloom_testing.crashes import StartProcess, crash_points, processes_of, until_crashed
from gridloom_usage.rules.lines import key_of
from gridloom_usage.rules.questions import question_of, report_of
from integration.usage.conftest import SettingsFor, StartUsage
from integration.usage.scripted import Asker, ScriptedScheduler
from unit.usage.facts import a_finish, another_finish, plain_sums

POINTS = crash_points(gridloom_usage)
EVERYTHING = ("day", "tag", "model", "key")


@pytest.fixture
def start_process(usage_settings: SettingsFor, tmp_path: Path) -> Iterator[StartProcess]:
    """Starts the service as a process that dies at a crash point."""
    with processes_of(USAGE, usage_settings, tmp_path) as start:
        yield start


@dataclass(frozen=True)
class Scene:
    """All that a crash takes."""

    scheduler: ScriptedScheduler
    asker: Asker
    database: Database
    start_usage: StartUsage
    start_process: StartProcess


@pytest.fixture
async def scene(
    scheduler: ScriptedScheduler,
    asker: Asker,
    database: Database,
    start_usage: StartUsage,
    start_process: StartProcess,
) -> Scene:
    await scheduler.answer()
    return Scene(scheduler, asker, database, start_usage, start_process)


def facts_of(jobs: int) -> list[JobFinished]:
    return [
        a_finish(
            tag=random.choice([None, "a", "b"]),
            model=random.choice(["small", "large"]),
            state=random.choice([State.SUCCEEDED, State.FAILED, State.CANCELED]),
            usage=Usage(tokens_in=random.randrange(100), tokens_out=random.randrange(100), estimated=number % 7 == 0),
            engine_seconds=random.random(),
        )
        for number in range(jobs)
    ]


def report_on(facts: Sequence[JobFinished], account: str = "acc1") -> UsageReport:
    question = question_of(GetUsage(account=account, group_by=EVERYTHING))
    found = ((msgspec.structs.asdict(group), sums) for group, sums in plain_sums(facts).items())
    return report_of(question, found)


async def expect_exact_books(facts: Sequence[JobFinished], scene: Scene) -> None:
    await scene.asker.until_answered()
    await scene.asker.until_counted(len(facts))
    assert await scene.asker.usage(group_by=EVERYTHING) == report_on(facts)
    assert (await scene.asker.verify()).differences == ()
    lines = await scene.database["ledger"].find({}, {"entries.seq": 1}).to_list(None)
    endings = [(line["_id"], entry["seq"]) for line in lines for entry in line["entries"]]
    assert sorted(endings) == sorted(map(key_of, facts))


async def until_closed(database: Database) -> None:
    async with asyncio.timeout(10):
        while await database["batches"].count_documents({}):
            await asyncio.sleep(0.02)


def test_there_is_a_crash_point_between_any_two_writes() -> None:
    assert POINTS == [
        "usage.batch_closed",
        "usage.batch_opened",
        "usage.caught_up",
        "usage.line_extended",
        "usage.lines_written",
        "usage.rollups_written",
    ]


@pytest.mark.parametrize("passage", [1, 4])
@pytest.mark.parametrize("name", POINTS)
async def test_nothing_is_lost_or_doubled_by_a_crash(name: str, passage: int, scene: Scene) -> None:
    early, told, untold = facts_of(20), facts_of(150), facts_of(30)
    before = await scene.start_usage()
    await scene.asker.until_answered()
    await scene.scheduler.tell(*early)
    await scene.asker.until_counted(len(early))
    await before.stop()

    dying = scene.start_process(f"{name}:{passage}", batch_endings=16, catch_up_seconds=0.2)
    again = [another_finish(first) for first in early]
    scene.scheduler.ended(*untold)
    await scene.scheduler.tell(*told, *again)
    await until_crashed(dying)

    await scene.start_usage()
    await expect_exact_books([*early, *told, *untold, *again], scene)
    await until_closed(scene.database)


async def test_a_service_that_is_killed_again_and_again_under_load_counts_exactly(scene: Scene) -> None:
    facts = facts_of(3_000)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scene.scheduler.tell(*facts))
        for _ in range(4):
            process = scene.start_process(batch_endings=16, catch_up_seconds=0.2)
            await scene.asker.until_answered()
            await asyncio.sleep(random.random() / 4)  # anywhere in its work
            process.kill()
    await scene.start_usage()
    await expect_exact_books(facts, scene)
    await until_closed(scene.database)


async def test_a_replica_finishes_what_another_left(scene: Scene) -> None:
    dying = scene.start_process("usage.lines_written", catch_up_seconds=60)
    await scene.scheduler.tell(*(facts := facts_of(5)))
    await until_crashed(dying)
    left = await scene.database["batches"].find_one({})
    assert left is not None
    await scene.database["batches"].delete_one({})
    await scene.start_usage(sweep_seconds=0.2, catch_up_seconds=60)
    await scene.asker.until_answered()
    assert (await scene.asker.usage()).total.jobs == 0, "it stands in the ledger, and no rollup knows it"
    await scene.database["batches"].insert_one(left)
    await scene.asker.until_counted(len(facts))
    await until_closed(scene.database)
    assert await scene.asker.usage(group_by=EVERYTHING) == report_on(facts)
