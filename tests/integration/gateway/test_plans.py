"""Plans over HTTP: made, changed, chosen and forgotten by the operator, and what they do to submissions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gridloom_contract.fleet import ModelEntry
from gridloom_contract.jobs import ListJobs
from gridloom_contract.vocabulary import State
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.plugin import OpenBus
from integration.gateway.conftest import RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler
from integration.gateway.scripted_plans import ScriptedPlans

PLANS = "/admin/v1/plans"
NOBODY = "0" * 32
EVERYTHING: dict[str, Any] = {
    "daily_tokens": 1_000,
    "weekly_tokens": 5_000,
    "monthly_tokens": 20_000,
    "priority_boost": 7,
    "rates": [{"group": "native", "per_minute": 60}],
    "max_waiting_jobs": 100,
    "max_parallel_jobs": 4,
    "max_blob_bytes": 1_000_000,
    "retention_days": 30,
}
NOTHING: dict[str, Any] = dict.fromkeys(EVERYTHING) | {"priority_boost": 0, "rates": []}


@pytest.fixture
async def plans(bus_for: OpenBus) -> ScriptedPlans:
    """The quota service, as far as plans go."""
    plans = ScriptedPlans(await bus_for("quota"))
    await plans.open()
    return plans


async def priority_of_the_next_job(client: ApiClient, scheduler: ScriptedScheduler, **fields: Any) -> int:
    job = await client.submit(**fields)
    return scheduler.submissions[job.replace("-", "")].priority


async def test_a_plan_is_made_read_changed_and_forgotten(gateway: RunningGateway, plans: ScriptedPlans) -> None:
    made = await gateway.ask("POST", PLANS, {"name": "team"} | EVERYTHING)
    assert (made.status, made.body) == (201, {"name": "team"} | EVERYTHING)
    assert (await gateway.ask("GET", f"{PLANS}/team")).body == made.body
    assert [plan["name"] for plan in (await gateway.ask("GET", PLANS)).body["plans"]] == ["default", "team"]
    changed = await gateway.ask("PUT", f"{PLANS}/team", {"daily_tokens": 5})
    assert changed.body == {"name": "team"} | NOTHING | {"daily_tokens": 5}
    await gateway.ask("DELETE", f"{PLANS}/team")
    assert (await gateway.admin.call("GET", f"{PLANS}/team")).status == 404


@pytest.mark.parametrize(
    ("request_line", "body", "status"),
    [
        (("POST", PLANS), {"name": "default"}, 409),
        (("POST", PLANS), {"name": "a plan"}, 422),
        (("POST", PLANS), {}, 422),
        (("POST", PLANS), {"name": "team", "daily_tokens": -1}, 422),
        (("POST", PLANS), {"name": "team", "max_parallel_jobs": 0}, 422),
        (("POST", PLANS), {"name": "team", "rates": [{"group": "", "per_minute": 1}]}, 422),
        (("PUT", f"{PLANS}/team"), {"retention_days": 0}, 422),
        (("PUT", f"{PLANS}/team"), {"priority_boost": 2_000_000}, 422),
        (("PUT", f"{PLANS}/a%20plan"), {}, 404),
        (("GET", f"{PLANS}/team"), None, 404),
        (("DELETE", f"{PLANS}/team"), None, 404),
        (("PUT", f"/admin/v1/accounts/{NOBODY}/plan"), {"plan": "default"}, 404),
        (("GET", f"/admin/v1/accounts/{NOBODY}/quota"), None, 404),
    ],
)
async def test_what_cannot_be_is_refused(
    gateway: RunningGateway, plans: ScriptedPlans, request_line: tuple[str, str], body: Any, status: int
) -> None:
    assert (await gateway.admin.call(*request_line, body)).status == status


async def test_an_account_is_put_on_a_plan_which_then_stays(
    gateway: RunningGateway, plans: ScriptedPlans, tenant: Tenant
) -> None:
    await gateway.ask("POST", PLANS, {"name": "team", "daily_tokens": 100})
    plans.used = 30
    quota = (await gateway.ask("PUT", f"/admin/v1/accounts/{tenant.account}/plan", {"plan": "team"})).body
    assert quota == (await gateway.ask("GET", f"/admin/v1/accounts/{tenant.account}/quota")).body
    assert (quota["plan"]["name"], quota["held_until"]) == ("team", None)
    [day] = quota["windows"]
    assert (day["used"], day["limit"], day["remaining"], day["resets_at"]) == (30, 100, 70, "2026-03-06T00:00:00.000Z")
    assert (await gateway.admin.call("DELETE", f"{PLANS}/team")).status == 409


async def test_an_unknown_plan_is_nobodys(gateway: RunningGateway, plans: ScriptedPlans, tenant: Tenant) -> None:
    answer = await gateway.admin.call("PUT", f"/admin/v1/accounts/{tenant.account}/plan", {"plan": "team"})
    assert (answer.status, answer.body["error"]) == (404, "not_found")


async def test_a_proof_names_its_differences(gateway: RunningGateway, plans: ScriptedPlans) -> None:
    clean = (await gateway.ask("POST", "/admin/v1/quota/verify")).body
    plans.differences = ("account acme: one token is missing",)
    found = (await gateway.ask("POST", "/admin/v1/quota/verify")).body
    assert clean == {"is_clean": True, "checked": 0, "differences": []}
    assert found == {"is_clean": False, "checked": 0, "differences": ["account acme: one token is missing"]}


async def test_without_the_quota_service_its_part_of_the_api_says_so(gateway: RunningGateway) -> None:
    answer = await gateway.admin.call("GET", PLANS)
    assert (answer.status, answer.body["error"]) == (503, "unavailable")


async def test_a_job_without_a_priority_gets_that_of_the_plan_as_soon_as_it_is_another(
    scheduler: ScriptedScheduler, plans: ScriptedPlans, tenant: Tenant, client: ApiClient
) -> None:
    before = await priority_of_the_next_job(client, scheduler)
    await plans.change(tenant.account, priority_boost=7)
    await plans.bus.flush()
    async with asyncio.timeout(2):
        while await priority_of_the_next_job(client, scheduler) != 7:
            await asyncio.sleep(0.01)
    assert (before, await priority_of_the_next_job(client, scheduler, priority=-3)) == (0, -3)


async def test_an_accounts_own_boost_goes_before_its_plans(
    gateway: RunningGateway, scheduler: ScriptedScheduler, plans: ScriptedPlans
) -> None:
    account = (await gateway.ask("POST", "/admin/v1/accounts", {"name": "vip", "priority_boost": 9})).body["id"]
    await plans.change(account, priority_boost=7)
    key = (await gateway.ask("POST", f"/admin/v1/accounts/{account}/keys", {})).body["key"]
    async with ApiClient(gateway.url, key) as client:
        assert await priority_of_the_next_job(client, scheduler) == 9


async def test_the_plan_is_asked_for_once_however_many_jobs_come(plans: ScriptedPlans, client: ApiClient) -> None:
    await asyncio.gather(*(client.submit() for _ in range(30)))
    assert plans.questions == 1


async def test_more_waiting_jobs_than_the_plan_allows_are_refused_in_the_apis_shape_and_have_no_effect(
    scheduler: ScriptedScheduler, plans: ScriptedPlans, tenant: Tenant, client: ApiClient
) -> None:
    await plans.change(tenant.account, max_waiting_jobs=3)
    answers = [await client.call("POST", JOBS, {"model": "m", "prompt": "Hi"}) for _ in range(5)]
    assert [answer.status for answer in answers] == [201] * 3 + [429] * 2
    assert answers[-1].body["error"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "1"
    assert len(scheduler.jobs) == 3


async def test_only_jobs_that_wait_count(
    scheduler: ScriptedScheduler, plans: ScriptedPlans, tenant: Tenant, client: ApiClient
) -> None:
    await plans.change(tenant.account, max_waiting_jobs=1)
    await client.submit()
    [count] = [question for question in scheduler.asked if isinstance(question, ListJobs)]
    assert (count.account, count.states) == (tenant.account, (State.HELD, State.QUEUED))


async def test_a_batch_that_has_no_room_is_not_begun_and_has_it_later_with_its_key(
    client: ApiClient, scheduler: ScriptedScheduler, plans: ScriptedPlans, tenant: Tenant
) -> None:
    scheduler.models.append(ModelEntry(model="m", family="m"))
    request = {"endpoint": "/v1/completions", "body": {"model": "m", "prompt": "Hi"}}
    await plans.change(tenant.account, max_waiting_jobs=1)
    refused = await client.call("POST", "/v1/batches", {"requests": [request, request]}, key="k")
    assert (refused.status, refused.body["error"]["type"]) == (429, "rate_limit_exceeded")
    assert (scheduler.jobs, scheduler.bundles) == ({}, {})

    await plans.change(tenant.account, max_waiting_jobs=2)
    taken = await client.call("POST", "/v1/batches", {"requests": [request, request]}, key="k")
    assert (taken.status, taken.body["queued"]) == (202, 2)
    assert {job.state for job in scheduler.jobs.values()} == {State.QUEUED}
