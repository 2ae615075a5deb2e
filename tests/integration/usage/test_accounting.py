"""One line a job, totals by day, tag, model and key; told once or many times."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gridloom_contract.fault import Fault, FaultCode, FaultError
from gridloom_contract.usage import AccountTotal, UsageRow
from gridloom_contract.vocabulary import State, Usage
from gridloom_kit.mongo import Database
from integration.usage.conftest import StartUsage
from integration.usage.scripted import Asker, ScriptedScheduler
from unit.usage.facts import NOON, a_finish, another_finish

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
async def usage(start_usage: StartUsage, scheduler: ScriptedScheduler, asker: Asker) -> None:
    await scheduler.answer()
    await start_usage()
    await asker.until_answered()


async def test_an_ended_job_has_one_line_with_everything_about_it(
    scheduler: ScriptedScheduler, asker: Asker, database: Database
) -> None:
    fact = a_finish(tag="geography", usage=Usage(tokens_in=12, tokens_out=9, estimated=True), engine_seconds=0.36)
    await scheduler.tell(fact)
    await asker.until_counted(1)
    (line,) = await database["ledger"].find().to_list(None)
    (entry,) = line.pop("entries")
    assert line == {
        "_id": fact.job,
        "account": "acc1",
        "key": "key1",
        "model": "synthetic",
        "served_model": "synthetic",
        "dialect": "native",
        "tag": "geography",
        "worker": "wk3q5zt7m2abd",
        "state": "succeeded",
        "tokens_in": 12,
        "tokens_out": 9,
        "estimated": True,
        "engine_microseconds": 360_000,
        "created_at": fact.created_at,
        "started_at": fact.started_at,
        "ended_at": NOON,
    }
    assert entry["seq"] == fact.seq


async def test_usage_is_grouped_by_day_and_tag_unless_asked_otherwise(
    scheduler: ScriptedScheduler, asker: Asker
) -> None:
    await scheduler.tell(
        a_finish(tag="b"),
        a_finish(tag="b", state=State.FAILED, usage=None, engine_seconds=None),
        a_finish(state=State.CANCELED, usage=None, engine_seconds=None),
        a_finish(at=NOON - DAY, tag="a", usage=Usage(tokens_in=1, tokens_out=1, estimated=True)),
    )
    report = await asker.until_counted(4)
    assert report.rows == (
        UsageRow(
            day="2026-01-14",
            tag="a",
            jobs=1,
            succeeded=1,
            tokens_in=1,
            tokens_out=1,
            estimated_jobs=1,
            engine_seconds=0.1,
        ),
        UsageRow(day="2026-01-15", tag=None, jobs=1, canceled=1),
        UsageRow(
            day="2026-01-15", tag="b", jobs=2, succeeded=1, failed=1, tokens_in=3, tokens_out=2, engine_seconds=0.1
        ),
    )
    assert report.total == UsageRow(
        jobs=4, succeeded=2, failed=1, canceled=1, tokens_in=4, tokens_out=3, estimated_jobs=1, engine_seconds=0.2
    )


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [
        ((), [(None, None, 3)]),
        (("model",), [("large", None, 1), ("small", None, 2)]),
        (("key",), [(None, "key1", 2), (None, "key2", 1)]),
        (("model", "key"), [("large", "key1", 1), ("small", "key1", 1), ("small", "key2", 1)]),
        (("model", "model"), [("large", None, 1), ("small", None, 2)]),
    ],
)
async def test_usage_can_be_grouped_by_anything(
    scheduler: ScriptedScheduler, asker: Asker, group_by: tuple[str, ...], expected: list[tuple[object, ...]]
) -> None:
    await scheduler.tell(a_finish(model="small"), a_finish(model="small", key="key2"), a_finish(model="large"))
    await asker.until_counted(3)
    report = await asker.usage(group_by=group_by)
    assert [(row.model, row.key, row.jobs) for row in report.rows] == expected
    assert report.total.jobs == 3


async def test_both_ends_of_a_period_belong_to_it(scheduler: ScriptedScheduler, asker: Asker) -> None:
    midnight = NOON.replace(hour=0)
    await scheduler.tell(*(a_finish(at=midnight + days * DAY) for days in range(4)))
    await scheduler.tell(a_finish(at=midnight + 3 * DAY - timedelta(milliseconds=1)))
    await asker.until_counted(5)
    report = await asker.usage(since="2026-01-16", until="2026-01-17", group_by=("day",))
    assert [(row.day, row.jobs) for row in report.rows] == [("2026-01-16", 1), ("2026-01-17", 2)]


async def test_an_account_sees_its_own_usage_only(scheduler: ScriptedScheduler, asker: Asker) -> None:
    await scheduler.tell(a_finish(), a_finish(account="acc2", model="secret"))
    await asker.until_counted(1, "acc2")
    assert (await asker.until_counted(1)).total.jobs == 1
    assert (await asker.usage("nobody")).rows == ()


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": "15.01.2026"}, "since"),
        ({"since": "20260115"}, "since"),
        ({"until": "2026-02-30"}, "until"),
        ({"until": ""}, "until"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "until"),
        ({"group_by": ("day", "account")}, "group_by"),
    ],
)
async def test_a_wrong_question_is_refused_by_the_name_of_its_field(
    asker: Asker, asked: dict[str, object], field: str
) -> None:
    with pytest.raises(FaultError) as refused:
        await asker.usage(**asked)
    assert (refused.value.fault.code, refused.value.fault.field) == (FaultCode.INVALID, field)


async def test_usage_that_does_not_fit_an_answer_is_refused(scheduler: ScriptedScheduler, asker: Asker) -> None:
    await scheduler.tell(*(a_finish(tag=f"{number:0500}") for number in range(2_500)))
    async with asyncio.timeout(60):
        while (await asker.usage(group_by=())).total.jobs < 2_500:
            await asyncio.sleep(0.05)
    with pytest.raises(FaultError) as refused:
        await asker.usage(group_by=("day", "tag", "model", "key"))
    assert refused.value.fault.code is FaultCode.TOO_LARGE


async def test_a_fact_that_comes_again_changes_nothing(
    scheduler: ScriptedScheduler, asker: Asker, database: Database
) -> None:
    facts = [a_finish() for _ in range(20)]
    await scheduler.tell(*facts)
    await asker.until_counted(20)
    await scheduler.tell(*facts, again="-again")
    await scheduler.tell(last := a_finish())
    await asker.until_counted(21)
    assert (await asker.usage()).total.jobs == 21
    assert await database["ledger"].count_documents({}) == 21
    assert await database["ledger"].count_documents({"_id": last.job}) == 1


async def test_a_retried_job_that_ends_again_adds_to_its_line(
    scheduler: ScriptedScheduler, asker: Asker, database: Database
) -> None:
    first = a_finish(state=State.FAILED, usage=Usage(tokens_in=5, tokens_out=1), worker="wa")
    second = another_finish(first, at=NOON + DAY, worker="wb")
    await scheduler.tell(second)
    await asker.until_counted(1)
    await scheduler.tell(first)
    report = await asker.until_counted(2)
    line = await database["ledger"].find_one({})
    assert line is not None
    assert (line["tokens_in"], line["tokens_out"], line["state"], line["worker"]) == (8, 3, "succeeded", "wb")
    assert [(row.day, row.succeeded, row.failed, row.tokens_in) for row in report.rows] == [
        ("2026-01-15", 0, 1, 5),
        ("2026-01-16", 1, 0, 3),
    ]
    assert (await asker.verify()).differences == ()


async def test_an_ending_with_impossible_numbers_is_parked_and_spoils_nothing(
    scheduler: ScriptedScheduler, asker: Asker
) -> None:
    impossible = a_finish(usage=Usage(tokens_in=-1, tokens_out=2**70))
    await scheduler.tell(impossible, a_finish())
    assert (await asker.until_counted(1)).total.tokens_out == 2
    assert (await asker.verify()).differences == (f"job {impossible.job}: its ending 4 is not in the ledger",)


async def test_ledger_totals_count_endings_since_a_moment_in_the_order_asked(
    scheduler: ScriptedScheduler, asker: Asker
) -> None:
    retried = a_finish(at=NOON - DAY)
    await scheduler.tell(retried, another_finish(retried, at=NOON), a_finish(account="acc2", at=NOON - DAY))
    await asker.until_counted(2)
    await asker.until_counted(1, "acc2")
    report = await asker.totals(["acc2", "acc1", "acc3"], NOON)
    assert report.totals == (
        AccountTotal(account="acc2", tokens=0, jobs=0),
        AccountTotal(account="acc1", tokens=5, jobs=1),
        AccountTotal(account="acc3", tokens=0, jobs=0),
    )
    assert (await asker.totals(["acc1"], NOON - DAY)).totals == (AccountTotal(account="acc1", tokens=10, jobs=2),)


async def test_two_replicas_count_together_as_one(
    scheduler: ScriptedScheduler, asker: Asker, start_usage: StartUsage
) -> None:
    await start_usage()
    facts = [a_finish(tag=f"t{number % 3}") for number in range(2_000)]
    await asyncio.gather(scheduler.tell(*facts), scheduler.tell(*reversed(facts), again="-again"))
    report = await asker.until_counted(2_000)
    assert [row.jobs for row in report.rows] == [667, 667, 666]
    assert (await asker.verify()).differences == ()


async def test_a_jobs_line_tells_all_its_endings_together(scheduler: ScriptedScheduler, asker: Asker) -> None:
    failed = a_finish(tag="geography", state=State.FAILED, usage=None, engine_seconds=None)
    again = another_finish(failed, usage=Usage(tokens_in=12, tokens_out=9, estimated=True), engine_seconds=0.36)
    await scheduler.tell(failed, again)
    await asker.until_counted(2)

    line = await asker.line(failed.job)

    assert (line.job, line.account, line.state, line.endings) == (failed.job, "acc1", State.SUCCEEDED, 2)
    assert (line.tokens_in, line.tokens_out, line.estimated, line.engine_seconds) == (12, 9, True, 0.36)
    assert (line.tag, line.worker, line.dialect, line.key) == ("geography", again.worker, "native", "key1")
    assert (line.ended_at, line.started_at) == (again.at, again.started_at)


@pytest.mark.parametrize("account", ["acc2", ""])
async def test_a_line_is_told_to_its_own_account_only(scheduler: ScriptedScheduler, asker: Asker, account: str) -> None:
    fact = a_finish()
    await scheduler.tell(fact)
    await asker.until_counted(1)

    refusals = [await refused(asker, account, job) for job in (fact.job, "0" * 32)]

    assert refusals[0] == refusals[1]
    assert refusals[0].code is FaultCode.NOT_FOUND


async def refused(asker: Asker, account: str, job: str) -> Fault:
    """Return the fault with which a line is refused."""
    with pytest.raises(FaultError) as caught:
        await asker.line(job, account)
    return caught.value.fault
