"""The operator's API: accounts, keys and workers, and what a change of theirs does at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from gridloom_contract.fleet import EnrolWorker, WorkerEntry
from gridloom_kit.mongo import Database
from gridloom_testing.clients import JOBS, ApiClient
from integration.gateway.conftest import OpenGateway, RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler

ADMIN = "/admin/v1"


async def status_with(url: str, key: str) -> int:
    async with ApiClient(url, key) as client:
        return (await client.call("GET", JOBS)).status


async def until_status(url: str, key: str, status: int) -> None:
    """The word of a change travels over the bus: soon, not before the answer."""
    async with asyncio.timeout(3):
        while await status_with(url, key) != status:
            await asyncio.sleep(0.01)


async def test_an_account_is_opened_found_and_listed(gateway: RunningGateway) -> None:
    opened = await gateway.ask("POST", f"{ADMIN}/accounts", {"name": "first"})
    await gateway.ask("POST", f"{ADMIN}/accounts", {"name": "second"})

    found = await gateway.ask("GET", f"{ADMIN}/accounts/{opened.body['id']}")
    page = (await gateway.ask("GET", f"{ADMIN}/accounts?page=2&per_page=1")).body

    assert opened.status == 201
    assert found.body == opened.body
    assert (page["page"], page["per_page"], page["total"], page["total_pages"]) == (2, 1, 2, 2)
    assert page["accounts"] == [opened.body]


async def test_a_key_is_shown_once_and_only_its_verifier_is_kept(
    gateway: RunningGateway, tenant: Tenant, database: Database
) -> None:
    listed = (await gateway.ask("GET", f"{ADMIN}/accounts/{tenant.account}/keys")).body
    stored = await database["api_keys"].find_one({"_id": tenant.kid})

    assert [key["kid"] for key in listed["keys"]] == [tenant.kid]
    assert tenant.key.split("_")[2] not in str(listed)
    assert tenant.key.split("_")[2] not in str(stored)
    assert stored is not None
    assert len(stored["verifier"]) == 32


async def test_a_revoked_key_is_refused_at_every_gateway_at_once(
    gateway: RunningGateway, open_gateway: OpenGateway, tenant: Tenant
) -> None:
    other = await open_gateway()
    assert [await status_with(one.url, tenant.key) for one in (gateway, other)] == [200, 200]

    revoked = await gateway.ask("DELETE", f"{ADMIN}/keys/{tenant.kid}")

    assert revoked.body["revoked_at"] is not None
    await until_status(gateway.url, tenant.key, 401)
    await until_status(other.url, tenant.key, 401)


async def test_a_rotated_key_works_beside_its_successor_for_the_grace(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(key_grace_seconds=1.0)
    tenant = await gateway.tenant(name="mine", scopes=["jobs:read"])

    issued = await gateway.ask("POST", f"{ADMIN}/keys/{tenant.kid}/rotate")

    assert (issued.status, issued.body["name"], issued.body["scopes"]) == (201, "mine", ["jobs:read"])
    assert await status_with(gateway.url, issued.body["key"]) == 200
    assert await status_with(gateway.url, tenant.key) == 200
    await until_status(gateway.url, tenant.key, 401)
    assert await status_with(gateway.url, issued.body["key"]) == 200


async def test_a_key_that_is_not_valid_cannot_be_rotated(gateway: RunningGateway, tenant: Tenant) -> None:
    await gateway.ask("DELETE", f"{ADMIN}/keys/{tenant.kid}")

    assert (await gateway.admin.call("POST", f"{ADMIN}/keys/{tenant.kid}/rotate")).status == 409


async def test_a_disabled_account_is_refused_and_an_enabled_one_is_not(gateway: RunningGateway, tenant: Tenant) -> None:
    assert await status_with(gateway.url, tenant.key) == 200

    disabled = await gateway.ask("POST", f"{ADMIN}/accounts/{tenant.account}/disable")
    await until_status(gateway.url, tenant.key, 403)
    enabled = await gateway.ask("POST", f"{ADMIN}/accounts/{tenant.account}/enable")
    await until_status(gateway.url, tenant.key, 200)

    assert disabled.body["disabled_at"] is not None
    assert enabled.body["disabled_at"] is None


async def test_a_key_ends_at_its_time(gateway: RunningGateway, tenant: Tenant) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    issued = await gateway.ask("POST", f"{ADMIN}/accounts/{tenant.account}/keys", {"expires_at": soon})

    assert await status_with(gateway.url, issued.body["key"]) == 200
    await until_status(gateway.url, issued.body["key"], 401)


async def test_a_key_that_would_have_ended_is_not_issued(gateway: RunningGateway, tenant: Tenant) -> None:
    path = f"{ADMIN}/accounts/{tenant.account}/keys"
    for moment in ("2020-01-01T00:00:00Z", "tomorrow", "2030-01-01T00:00:00", 5):
        answer = await gateway.admin.call("POST", path, {"expires_at": moment})

        assert (answer.status, answer.body["field"]) == (422, "expires_at"), moment


async def test_a_key_may_only_do_what_it_was_given(gateway: RunningGateway) -> None:
    tenant = await gateway.tenant(scopes=["jobs:read"])
    async with ApiClient(gateway.url, tenant.key) as client:
        read = await client.call("GET", JOBS)
        write = await client.call("POST", JOBS, {"model": "m", "prompt": "p"})

    assert (read.status, write.status, write.body["error"]) == (200, 403, "forbidden")


async def test_the_use_of_a_key_is_recorded(gateway: RunningGateway, tenant: Tenant, database: Database) -> None:
    await status_with(gateway.url, tenant.key)
    gateway.stop.set()

    async with asyncio.timeout(10):
        while True:
            stored = await database["api_keys"].find_one({"_id": tenant.kid})
            if stored and stored["last_used_at"]:
                return
            await asyncio.sleep(0.05)


async def test_a_private_worker_needs_accounts_that_exist(
    gateway: RunningGateway, scheduler: ScriptedScheduler, tenant: Tenant
) -> None:
    enrolled = await gateway.ask("POST", f"{ADMIN}/workers", {"name": "w", "account": tenant.account})
    refused = await gateway.admin.call("POST", f"{ADMIN}/workers", {"name": "w", "account": "0" * 32})
    also = await gateway.admin.call("POST", f"{ADMIN}/workers", {"name": "w", "serves": [tenant.account, "1" * 32]})

    assert (enrolled.status, enrolled.body["token"]) == (201, "glw_wabcdefghijkl_secret")
    assert scheduler.asked == [EnrolWorker(name="w", account=tenant.account)]
    assert [(one.status, one.body["field"]) for one in (refused, also)] == [(422, "account"), (422, "serves")]


async def test_workers_are_listed_by_the_page(gateway: RunningGateway, scheduler: ScriptedScheduler) -> None:
    scheduler.workers += [WorkerEntry(worker=f"w{n}", name=f"n{n}", state="online") for n in range(3)]

    page = (await gateway.ask("GET", f"{ADMIN}/workers?page=2&per_page=2")).body

    assert ([one["worker"] for one in page["workers"]], page["total"], page["total_pages"]) == (["w2"], 3, 2)


UNKNOWN = [
    ("GET", "/accounts/zzz"),
    ("GET", f"/accounts/{'0' * 32}"),
    ("POST", f"/accounts/{'0' * 32}/disable"),
    ("POST", f"/accounts/{'0' * 32}/keys"),
    ("GET", f"/accounts/{'0' * 32}/keys"),
    ("DELETE", "/keys/unknown0"),
    ("POST", "/keys/unknown0/rotate"),
    ("DELETE", "/workers/w.>"),
    ("GET", "/nothing"),
]


async def test_what_is_unknown_is_not_found(gateway: RunningGateway) -> None:
    for method, path in UNKNOWN:
        answer = await gateway.admin.call(method, f"{ADMIN}{path}", {} if method == "POST" else None)

        assert (answer.status, answer.body["error"]) == (404, "not_found"), (method, path)


async def test_only_the_admin_key_administers(gateway: RunningGateway, tenant: Tenant) -> None:
    routes = [("GET", "/accounts"), ("POST", "/accounts"), ("GET", "/workers"), ("DELETE", f"/keys/{tenant.kid}")]
    for key in (tenant.key, "wrong", "x" * 2000):
        async with ApiClient(gateway.url, key) as client:
            for method, path in routes:
                assert (await client.call(method, f"{ADMIN}{path}")).status in {401, 429}

    async with ApiClient(gateway.url, gateway.settings.admin_key) as operator:
        assert (await operator.call("GET", JOBS)).status == 401
