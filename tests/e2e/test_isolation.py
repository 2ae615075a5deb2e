"""Accounts never see each other: what is another's looks on every route exactly like what never was.

The routes come from the served description, so that a new one is tried without anybody thinking of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e.described import Call, calls_with_ids
from e2e.hooks import DELIVERIES, delivery_of
from e2e.shelf import MODEL
from e2e.uploads import slot_for
from gridloom_contract.registry import BLOB, GATEWAY, USAGE, WEBHOOK
from gridloom_domain import ids
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.builders import a_job_id, a_worker_id
from gridloom_testing.clients import JOBS, Answer, ApiClient
from gridloom_testing.grid import Grid

Ids = dict[str, str]


@pytest.fixture(scope="module")
def patient_url(grid: Grid) -> str:
    """A gateway that bears many failed authentications, and the services behind all its routes."""
    port = free_port()
    grid.start(WEBHOOK)
    grid.start(BLOB)
    grid.start(USAGE)
    grid.start(GATEWAY, port=port, auth_failures_per_minute=100_000)
    grid.wait_until_ready()
    return f"http://{LOOPBACK}:{port}"


@pytest.fixture
async def stranger(grid: Grid, patient_url: str) -> AsyncIterator[ApiClient]:
    """A client of an account that has nothing."""
    async with ApiClient(patient_url, grid.new_key()) as stranger:
        yield stranger


@pytest.fixture
async def jobs(client: ApiClient) -> list[str]:
    """One job in each state, each with a webhook: running (for ever), completed, failed, canceled."""
    prompts = ("[[hang]]", "hello", "[[reject]]", "[[hang]]")
    found = [await client.submit(prompt=prompt, webhook_url="https://receiver.invalid/") for prompt in prompts]
    await client.until(found[0], "running")
    for job in found[1:3]:
        await client.ended(job)
    await client.call("POST", f"{JOBS}/{found[3]}/cancel")
    return found


@pytest.fixture
async def calls(client: ApiClient) -> list[Call]:
    """Every served operation that takes an id."""
    return calls_with_ids((await client.call("GET", "/openapi.json")).body)


def ids_of(grid: Grid, client: ApiClient) -> Ids:
    """Return what the path parameters are for this account, its job left out. Keys name nothing else of an account."""
    kid = client.key.split("_")[1]
    accounts = grid.ask("GET", "/admin/v1/accounts")["accounts"]
    account = next(
        each["id"] for each in accounts if kid in str(grid.ask("GET", f"/admin/v1/accounts/{each['id']}/keys"))
    )
    worker = grid.ask("GET", "/admin/v1/workers")["workers"][0]["worker"]
    return {"account": account, "kid": kid, "worker": worker}


def unknown_ids() -> Ids:
    """Ids of the right form that nothing has."""
    job = a_job_id()
    known = {"account": f"acc_{'a' * 20}", "kid": "a" * 12, "worker": a_worker_id()}
    return known | {"id": ids.as_uuid(job), "delivery": f"evt_{job}_4", "blob": ids.as_uuid(job)}


async def tried(stranger: ApiClient, call: Call, named: Ids) -> tuple[int, Any, str]:
    """Return the answer to a call without what differs from request to request."""
    answer: Answer = await stranger.call(call.method, call.with_ids(named), call.body)
    body = {name: value for name, value in (answer.body or {}).items() if name != "request_id"}
    return answer.status, body, answer.headers["Content-Type"]


@pytest.mark.usefixtures("shelf")
async def test_every_route_with_an_id_answers_a_stranger_as_if_it_never_was(
    grid: Grid, client: ApiClient, stranger: ApiClient, jobs: list[str], calls: list[Call]
) -> None:
    before = [await client.job(job) for job in jobs]
    told = await delivery_of(client, jobs[1], "pending")
    slot = await slot_for(client, await client.submit(model=MODEL))
    theirs = ids_of(grid, client) | {"delivery": told["id"], "blob": slot.body["blob_id"]}
    assert len([call for call in calls if call.is_for_accounts and JOBS in call.path]) >= 7

    for call in calls:
        unknown = await tried(stranger, call, unknown_ids())
        assert unknown[0] == (404 if call.is_for_accounts else 401), (call, unknown)
        for job in jobs if call.is_for_accounts else jobs[:1]:
            assert await tried(stranger, call, theirs | {"id": job}) == unknown, (call, job)

    assert [await client.job(job) for job in jobs] == before
    assert (await delivery_of(client, jobs[1], "pending"))["id"] == told["id"]


async def test_a_stranger_lists_and_cancels_nothing_of_others(
    client: ApiClient, stranger: ApiClient, jobs: list[str]
) -> None:
    before = [await client.job(job) for job in jobs]

    for listed in (JOBS, DELIVERIES):
        assert (await stranger.call("GET", listed)).body["total"] == 0
    assert (await stranger.call("DELETE", f"{JOBS}/cancel_all")).body == {"cancelled": 0}

    assert [await client.job(job) for job in jobs] == before
    await client.call("POST", f"{JOBS}/{jobs[0]}/cancel")
