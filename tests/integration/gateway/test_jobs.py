"""The native API's job endpoints, over HTTP, with a scheduler that says what the test wants."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom_contract.fleet import ModelEntry
from gridloom_contract.jobs import CancelJob, ListJobs
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import JOBS, ApiClient
from integration.gateway.conftest import RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler

MOUNTS = ["/api/v1", "/api/v1/v1", "/vibe/api/v1", "/vibe/api/v1/v1"]
BODY = {"model": "llama3:8b", "prompt": "Say hello"}


async def test_a_job_is_accepted_with_its_id_status_and_time(
    client: ApiClient, scheduler: ScriptedScheduler, tenant: Tenant
) -> None:
    answer = await client.call("POST", JOBS, BODY | {"tag": "mine"})

    assert answer.status == 201
    assert answer.body["status"] == "pending"
    assert answer.body["created_at"] == "2026-06-20T12:00:00.123Z"
    assert answer.body["id"] == answer.body["job_id"]
    (submission,) = scheduler.submissions.values()
    assert ids.as_uuid(submission.job) == answer.body["job_id"]
    assert (submission.account, submission.key, submission.tag) == (tenant.account, tenant.kid, "mine")
    assert submission.traceparent is not None


@pytest.mark.parametrize("mount", MOUNTS)
async def test_every_mount_serves_with_and_without_a_slash(client: ApiClient, mount: str) -> None:
    for slash in ("", "/"):
        submitted = await client.call("POST", f"{mount}/jobs{slash}", BODY)
        name = submitted.body["job_id"]

        assert submitted.status == 201
        assert (await client.call("GET", f"{mount}/jobs/{name}{slash}")).status == 200
        assert (await client.call("GET", f"{mount}/jobs{slash}")).status == 200
        assert (await client.call("DELETE", f"{mount}/jobs/cancel_all{slash}")).status == 200
        assert (await client.call("GET", f"{mount}/models{slash}")).body == []


async def test_a_boosted_account_has_its_priority_where_a_job_names_none(
    gateway: RunningGateway, scheduler: ScriptedScheduler
) -> None:
    account = (await gateway.ask("POST", "/admin/v1/accounts", {"name": "vip", "priority_boost": 5})).body["id"]
    key = (await gateway.ask("POST", f"/admin/v1/accounts/{account}/keys", {})).body["key"]
    async with ApiClient(gateway.url, key) as client:
        await client.submit()
        await client.submit(priority=-1)

    assert sorted(one.priority for one in scheduler.submissions.values()) == [-1, 5]


async def test_a_model_that_nobody_offers_is_a_validation_error(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    scheduler.refused_models.add("nonsense")

    answer = await client.call("POST", JOBS, BODY | {"model": "nonsense"})

    assert (answer.status, answer.body["error"], answer.body["field"]) == (422, "unknown_model", "model")


async def test_wrong_input_names_its_field(client: ApiClient) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"prompt": None},
        {"model": 7},
        {"tag": "x" * 65},
        {"timeout_seconds": 0},
        {"priority": "high"},
        {"model_match": "similar"},
        {"webhook_url": "file:///etc/passwd"},
    )
    for change in wrong:
        answer = await client.call("POST", JOBS, BODY | change)

        assert (answer.status, answer.body["error"], answer.body["field"]) == (422, "invalid", *change)
        assert answer.body["message"]


async def test_a_listing_is_filtered_and_paged_by_the_scheduler(
    client: ApiClient, scheduler: ScriptedScheduler, tenant: Tenant
) -> None:
    for _ in range(3):
        await client.submit()

    answer = await client.call("GET", f"{JOBS}?status=failed&tag=a%20b&page=1&unknown=1")

    assert answer.status == 200
    assert {name: answer.body[name] for name in ("page", "per_page", "total", "total_pages")} == {
        "page": 1,
        "per_page": 25,
        "total": 3,
        "total_pages": 1,
    }
    assert len(answer.body["jobs"]) == 3
    filters = {"states": (State.FAILED, State.CANCELED), "tag": "a b", "dialects": ("native",), "listed": True}
    wanted = ListJobs(account=tenant.account, page=1, per_page=25, **filters)
    assert scheduler.asked == [wanted]


async def test_a_page_beyond_the_end_is_empty(client: ApiClient) -> None:
    answer = await client.call("GET", f"{JOBS}?page=999")

    assert (answer.status, answer.body["jobs"]) == (200, [])


async def test_a_wrong_filter_is_refused(client: ApiClient) -> None:
    for query in ("status=done", "page=0", "page=x", "page=", f"tag={'x' * 65}"):
        answer = await client.call("GET", f"{JOBS}?{query}")

        assert (answer.status, answer.body["field"]) == (422, query.split("=")[0])


async def test_only_a_pending_job_is_canceled_by_delete(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    pending, running = await client.submit(), await client.submit()
    scheduler.change(ids.from_uuid(running), state=State.RUNNING)

    canceled = await client.call("DELETE", f"{JOBS}/{pending}")
    refused = await client.call("DELETE", f"{JOBS}/{running}")

    assert (canceled.status, canceled.body["status"], canceled.body["cancelled"]) == (200, "failed", True)
    assert (refused.status, refused.body["error"]) == (409, "conflict")


async def test_a_running_job_is_canceled_by_the_route_of_our_own(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    name = await client.submit()
    scheduler.change(ids.from_uuid(name), state=State.RUNNING)

    answer = await client.call("POST", f"{JOBS}/{name}/cancel")

    assert (answer.status, answer.body["error"]) == (200, "cancelled")
    assert isinstance(scheduler.asked[-1], CancelJob)


async def test_a_failed_job_is_retried_and_another_one_is_not(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    name = await client.submit()
    early = await client.call("POST", f"{JOBS}/{name}/retry")
    scheduler.change(ids.from_uuid(name), state=State.FAILED)

    retried = await client.call("POST", f"{JOBS}/{name}/retry")

    assert (early.status, early.body["error"]) == (409, "conflict")
    assert (retried.status, retried.body["status"], retried.body["job_id"]) == (200, "pending", name)


async def test_a_priority_is_changed_by_so_much(client: ApiClient) -> None:
    name = await client.submit(priority=4)

    answer = await client.call("PATCH", f"{JOBS}/{name}/priority", {"priority": -10})

    assert (answer.status, answer.body["priority"]) == (200, -6)


async def test_a_priority_that_is_none_is_refused(client: ApiClient) -> None:
    name = await client.submit()
    wrong: tuple[object, ...] = ({}, {"priority": "1"}, {"priority": None}, {"priority": 10**30}, [])
    for body in wrong:
        assert (await client.call("PATCH", f"{JOBS}/{name}/priority", body)).status == 422, body


async def test_models_are_a_bare_array(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    scheduler.models.append(ModelEntry(model="llama3:8b", family="llama3", workers=2, slots=8))

    answer = await client.call("GET", "/api/v1/models")

    assert [(one["id"], one["name"], one["worker_count"]) for one in answer.body] == [("llama3:8b", "llama3:8b", 2)]


ROUTES_OF_A_JOB = [
    ("GET", ""),
    ("DELETE", ""),
    ("POST", "/retry"),
    ("POST", "/cancel"),
    ("PATCH", "/priority"),
    ("GET", "/stream"),
    ("GET", "/timeline"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES_OF_A_JOB)
async def test_another_accounts_job_looks_like_one_that_never_was(
    gateway: RunningGateway, client: ApiClient, method: str, path: str
) -> None:
    name, other = await client.submit(), await gateway.tenant()
    unknown = (ids.as_uuid(a_job_id()), "not-an-id", name.upper(), ids.from_uuid(name), "%00", "x" * 300)
    body = {"priority": 1} if method == "PATCH" else None
    headers = {"X-Request-Id": "same"}
    async with ApiClient(gateway.url, other.key) as stranger:
        answers = [
            await stranger.session.request(method, f"{mount}/jobs/{one}{path}", json=body, headers=headers)
            for mount in MOUNTS
            for one in (name, *unknown)
        ]
        bodies = {await answer.text() for answer in answers}

    assert {answer.status for answer in answers} == {404}
    assert bodies == {'{"error":"not_found","message":"there is no such job","request_id":"same"}'}
    assert (await client.job(name))["status"] == "pending"


async def test_another_accounts_jobs_are_neither_listed_nor_canceled(
    gateway: RunningGateway, client: ApiClient
) -> None:
    name, other = await client.submit(), await gateway.tenant()
    async with ApiClient(gateway.url, other.key) as stranger:
        listed = await stranger.call("GET", JOBS)
        canceled = await stranger.call("DELETE", f"{JOBS}/cancel_all")

    assert (listed.body["total"], canceled.body) == (0, {"cancelled": 0})
    assert (await client.job(name))["status"] == "pending"
