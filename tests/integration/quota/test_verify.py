"""A verification names the first difference; a busy grid is no difference."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from bson import Int64

from gridloom_contract.fault import FaultError
from gridloom_kit.mongo import Database
from integration.quota.conftest import Replica, StartQuota
from integration.quota.scripted import Gateway, JobStory, Ledger, Scheduler


@dataclass(frozen=True)
class Around:
    """Everybody around one running quota service."""

    gateway: Gateway
    scheduler: Scheduler
    ledger: Ledger


@pytest.fixture
async def around(quota: Replica, gateway: Gateway, scheduler: Scheduler, ledger: Ledger) -> Around:
    """A quota service that has settled one job and reserved for another."""
    await a_settled_and_a_running_job(gateway, scheduler, ledger)
    return Around(gateway, scheduler, ledger)


async def a_settled_and_a_running_job(gateway: Gateway, scheduler: Scheduler, ledger: Ledger) -> None:
    await gateway.plan_of("acme", monthly_tokens=10_000)
    grant = await scheduler.take("acme", 700)
    ended, running = JobStory("acme"), JobStory("acme")
    facts = [ended.assigned(grant.grant, 300), ended.finished(240), running.assigned(grant.grant, 200)]
    ledger.book(*facts)
    await scheduler.tell(*facts)
    await gateway.until("acme", lambda month: (month.used, month.reserved) == (240, 200))


async def test_books_that_balance_have_no_difference(around: Around) -> None:
    report = await around.gateway.verify()
    assert (report.checked, report.differences) == (1, ())


@pytest.mark.parametrize(
    ("collection", "change", "named"),
    [
        ("quota_accounts", {"granted": 5}, "account acme: granted 2296 is not reserved 200 + settled 240 + free 1851"),
        ("quota_accounts", {"reserved": 7, "granted": 7}, "reserved 207 is not the 200 of its open reservations"),
        ("reservations", {"from_grant": 10}, "is not reserved 210 + settled 310 + free 750"),
        ("quota_accounts", {"windows.month.used": 3}, "settled 243 in this month, the ledger has 240"),
    ],
)
async def test_what_does_not_add_up_is_named(
    around: Around, database: Database, collection: str, change: dict[str, int], named: str
) -> None:
    # A journal counts until it is copied; the next change has copied it.
    await around.scheduler.take("acme", 1)
    increments = {name: Int64(number) for name, number in change.items()}
    await database[collection].update_many({}, {"$inc": increments})

    report = await around.gateway.verify()

    assert named in report.differences[0]


async def test_a_line_missing_in_the_ledger_is_named(around: Around) -> None:
    around.ledger.lines.clear()
    report = await around.gateway.verify()
    assert report.differences[-1] == "account acme: settled 240 in this month, the ledger has 0"


async def test_a_ledger_that_lags_behind_is_waited_for(around: Around) -> None:
    around.ledger.lag = 3
    assert (await around.gateway.verify()).differences == ()


async def test_without_the_usage_service_nothing_is_claimed(
    start_quota: StartQuota, gateway: Gateway, scheduler: Scheduler
) -> None:
    await start_quota()
    await gateway.plan_of("acme", monthly_tokens=10_000)
    with pytest.raises(FaultError, match="nobody answered"):
        await gateway.verify()
