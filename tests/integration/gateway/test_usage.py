"""Usage at the gateway: what it asks, and what it tells while one of the two services that know is away."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gridloom_contract.quota import AccountQuota, GetQuota, Plan, VerifyReport, Window, WindowUse
from gridloom_contract.registry import GET_QUOTA, GET_USAGE, QUOTA, USAGE, VERIFY_USAGE
from gridloom_contract.usage import GetUsage, UsageReport, UsageRow
from gridloom_domain.errors import Invalid
from gridloom_kit.bus import Bus
from gridloom_testing.clients import ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.conftest import RunningGateway, Tenant

PATH = "/api/v1/usage"
MIDNIGHT = datetime(2026, 6, 21, tzinfo=UTC)
ROW = UsageRow(day="2026-06-20", tag="t", jobs=1, succeeded=1, tokens_in=3, tokens_out=2)


class ScriptedUsage:
    """A usage service that has one row, refuses what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[GetUsage] = []
        self.refusal: Invalid | None = None

    async def on_get(self, question: GetUsage, _subject: str) -> UsageReport:
        self.asked.append(question)
        if self.refusal:
            raise self.refusal
        return UsageReport(account=question.account, rows=(ROW,), total=ROW)

    async def on_verify(self, _question: object, _subject: str) -> VerifyReport:
        return VerifyReport(checked=12, differences=("job a: its ending 4 is not in the ledger",))


@pytest.fixture
async def usage(bus_for: OpenBus) -> ScriptedUsage:
    """A usage service."""
    scripted, bus = ScriptedUsage(), await bus_for(USAGE)
    await bus.answer(GET_USAGE, scripted.on_get, queue=USAGE)
    await bus.answer(VERIFY_USAGE, scripted.on_verify, queue=USAGE)
    await bus.flush()
    return scripted


async def answer_quota(bus: Bus) -> None:
    """Be a quota service with one window."""

    async def on_get(question: GetQuota, _subject: str) -> AccountQuota:
        window = WindowUse(window=Window.DAY, started_at=MIDNIGHT, resets_at=MIDNIGHT, limit=100, used=40, reserved=10)
        return AccountQuota(account=question.account, plan=Plan(name="small"), windows=(window,))

    await bus.answer(GET_QUOTA, on_get, queue=QUOTA)
    await bus.flush()


async def test_usage_is_asked_for_the_callers_account(
    usage: ScriptedUsage, client: ApiClient, tenant: Tenant, bus_for: OpenBus
) -> None:
    await answer_quota(await bus_for(QUOTA))

    answer = await client.call("GET", PATH, params={"from": "2026-06-01", "to": "2026-06-30", "group_by": "day,tag"})

    assert answer.status == 200
    assert answer.body["usage"][0]["total_tokens"] == 5
    assert answer.body["quota"]["windows"][0]["remaining"] == 50
    assert [(asked.account, asked.since, asked.until) for asked in usage.asked] == [
        (tenant.account, "2026-06-01", "2026-06-30")
    ]


async def test_without_the_quota_service_usage_is_told_all_the_same(usage: ScriptedUsage, client: ApiClient) -> None:
    answer = await client.call("GET", PATH)

    assert (answer.status, answer.body["quota"]) == (200, None)


async def test_without_the_usage_service_there_is_a_clear_refusal(client: ApiClient) -> None:
    answer = await client.call("GET", PATH)

    assert (answer.status, answer.body["error"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(("field", "spelled"), [("since", "from"), ("until", "to"), ("group_by", "group_by")])
async def test_what_the_usage_service_refuses_is_named_as_it_was_asked(
    usage: ScriptedUsage, client: ApiClient, field: str, spelled: str
) -> None:
    usage.refusal = Invalid("that is no day", field)

    answer = await client.call("GET", PATH)

    assert (answer.status, answer.body["field"]) == (422, spelled)


async def test_the_operator_has_the_books_proved(usage: ScriptedUsage, gateway: RunningGateway) -> None:
    proof = (await gateway.ask("POST", "/admin/v1/usage/verify")).body

    assert proof == {"is_clean": False, "checked": 12, "differences": ["job a: its ending 4 is not in the ledger"]}


@pytest.mark.parametrize("account", ["nobody", "0" * 32])
async def test_an_account_that_is_not_there_has_no_usage(
    usage: ScriptedUsage, gateway: RunningGateway, account: str
) -> None:
    answer = await gateway.admin.call("GET", f"/admin/v1/accounts/{account}/usage")

    assert (answer.status, usage.asked) == (404, [])


async def test_an_accounts_key_proves_nothing(usage: ScriptedUsage, client: ApiClient) -> None:
    assert (await client.call("POST", "/admin/v1/usage/verify")).status == 401
