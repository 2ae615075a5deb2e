"""Accounts never see each other: what is another's looks on every route exactly like what never was.

The routes come from the served description, so that a new one is tried without anybody thinking of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from e2e.described import Call, calls_in
from e2e.hooks import delivery_of, secret_of
from e2e.shelf import MODEL, Shelf
from e2e.uploads import lines_uploaded, slot_for
from gridloom_contract.registry import BLOB, GATEWAY, USAGE, WEBHOOK
from gridloom_domain import ids
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.builders import a_job_id, a_worker_id
from gridloom_testing.clients import JOBS, Answer, ApiClient
from gridloom_testing.grid import Grid

Ids = dict[str, str]

FORMS: dict[str, Callable[[str], str]] = {
    "/v1/": ids.as_base32,
    "/openai/": ids.as_base32,
    "/infernet/": ids.as_prefixed,
    "/remotejobs/": ids.as_hex,
    "/gridrepublic/": ids.as_hex,
}
"""How each API spells the id of a job; the others as a UUID."""
UNAUTHENTICATED = frozenset({"unauthenticated", "unauthorized", "not_authenticated"})

NAMING = frozenset({"job_id", "deliveries", "tag", "input_file_id", "after"})
"""Fields of queries and bodies that name what belongs to somebody."""
HARMLESS = (
    frozenset({"model", "model_match", "prompt", "priority", "timeout_seconds", "webhook_url", "blob_type"})
    | {"expect_blobs", "status", "state", "page", "per_page", "since", "until", "from", "to", "group_by", "format"}
    | {"body", "headers"}
    | {"messages", "max_tokens", "temperature", "top_p", "stream", "node_id", "limit"}
    | {"app", "commandLine", "hours", "copies"}
    | {"async", "visibility", "collection", "stream_options", "active", "input", "encoding_format", "instructions"}
    | {"tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "max_output_tokens", "top_logprobs"}
    | {"metadata", "user", "conversation", "previous_response_id"}
    | {"endpoint", "completion_window", "requests", "label", "purpose", "order"}
    | {"file", "expires_after[anchor]", "expires_after[seconds]", "output_expires_after"}
)
"""Those that name nothing of anybody's."""
TAG = "the owner's own tag"


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
    usual = {"tag": TAG, "webhook_url": "https://receiver.invalid/"}
    found = [await client.submit(prompt=prompt, **usual) for prompt in prompts]
    await client.until(found[0], "running")
    for job in found[1:3]:
        await client.ended(job)
    await client.call("POST", f"{JOBS}/{found[3]}/cancel")
    return found


@pytest.fixture
async def calls(client: ApiClient) -> list[Call]:
    """Every served operation that takes a key."""
    return calls_in((await client.call("GET", "/openapi.json")).body)


def ids_of(grid: Grid, client: ApiClient) -> Ids:
    """Return what the path parameters are for this account, its job left out. Keys name nothing else of an account."""
    kid = client.key.split("_")[1]
    accounts = grid.ask("GET", "/admin/v1/accounts")["accounts"]
    account = next(
        each["id"] for each in accounts if kid in str(grid.ask("GET", f"/admin/v1/accounts/{each['id']}/keys"))
    )
    worker = grid.ask("GET", "/admin/v1/workers")["workers"][0]["worker"]
    return {"account": account, "kid": kid, "worker": worker, "plan": "default"}


def unknown_ids() -> Ids:
    """Ids of the right form that nothing has."""
    job = a_job_id()
    known = {"account": f"acc_{'a' * 20}", "kid": "a" * 12, "worker": a_worker_id(), "plan": "nobodys"}
    return known | {"id": ids.as_uuid(job), "delivery": f"evt_{job}_4", "blob": ids.as_uuid(job)}


def named_by(call: Call, named: Ids) -> str:
    """Return the path of a call, its job in the form of its API."""
    spell = next((form for prefix, form in FORMS.items() if call.path.startswith(prefix)), ids.as_uuid)
    job = spell(ids.from_uuid(named["id"]))
    return call.with_ids(named | {"id": job, "ids": job})


def is_refused(answer: Answer, words: frozenset[str]) -> bool:
    """Whether an error says one of these words; one API has none."""
    told = answer.body["error"]
    word = told["type"] if isinstance(told, dict) else told
    return word in words or answer.body.get("success") is False


async def tried(stranger: ApiClient, call: Call, named: Ids) -> tuple[int, str, str]:
    """Return the answer to a call without what differs from request to request."""
    path = named_by(call, named)
    answer: Answer = await stranger.call(call.method, path, call.body)
    told = {name: value for name, value in (answer.body or {}).items() if name != "request_id"}
    # Who names something is told the name again.
    return answer.status, str(told).replace(path.rsplit("/", 1)[1], "it"), answer.headers["Content-Type"]


async def told_about(stranger: ApiClient, call: Call, things: dict[str, Any]) -> Answer:
    """Return the answer to a call without an id in its path whose query and body name these things."""
    unsorted = {*call.query, *call.fields} - NAMING - HARMLESS
    assert not unsorted, f"does {call.method} {call.path} name something of somebody's by {unsorted}?"
    query = {name: things[name] for name in call.query if name in NAMING}
    body = (call.body or {}) | {name: things[name] for name in call.fields if name in NAMING} if call.fields else None
    return await stranger.call(call.method, call.path, body, params=query)


@pytest.mark.usefixtures("shelf")
async def test_every_route_with_an_id_answers_a_stranger_as_if_it_never_was(
    grid: Grid, client: ApiClient, stranger: ApiClient, jobs: list[str], calls: list[Call]
) -> None:
    before = [await client.job(job) for job in jobs]
    told = await delivery_of(client, jobs[1], "pending")
    slot = await slot_for(client, await client.submit(model=MODEL))
    theirs = ids_of(grid, client) | {"delivery": told["id"], "blob": slot.body["blob_id"]}
    assert len([call for call in calls if call.is_for_accounts and JOBS in call.path]) >= 7

    for call in [call for call in calls if call.names]:
        unknown = await tried(stranger, call, unknown_ids())
        assert unknown[0] == (404 if call.is_for_accounts else 401), (call, unknown)
        for job in jobs if call.is_for_accounts else jobs[:1]:
            assert await tried(stranger, call, theirs | {"id": job}) == unknown, (call, job)

    assert [await client.job(job) for job in jobs] == before
    assert (await delivery_of(client, jobs[1], "pending"))["id"] == told["id"]


async def as_seen(client: ApiClient, *jobs: str) -> list[dict[str, Any]]:
    """Return the jobs as their owner sees them, but for when they may start: that changes with the fleet."""
    documents = [await client.job(job) for job in jobs]
    return [{name: value for name, value in one.items() if name != "estimated_start_seconds"} for one in documents]


async def test_every_other_route_tells_a_stranger_nothing_and_does_nothing_to_others(
    client: ApiClient, stranger: ApiClient, shelf: Shelf, jobs: list[str], calls: list[Call]
) -> None:
    waiting = await client.submit(shelf.model, tag=TAG)
    delivery = (await delivery_of(client, jobs[1], "pending"))["id"]
    secret = await secret_of(client)
    before = await as_seen(client, *jobs, waiting)
    file = await lines_uploaded(client, {"whose": "the owner's"})
    things = {"job_id": waiting, "deliveries": [delivery], "tag": TAG, "input_file_id": file, "after": file}

    for call in [call for call in calls if call.is_for_accounts and not call.names]:
        answer = await told_about(stranger, call, things)
        assert answer.status not in {401, 403, 405, 500}, (call, answer)
        shown = str(answer.body)
        assert not [one for one in (*jobs, waiting, delivery, secret, file) if one in shown], (call, shown)

    assert await as_seen(client, *jobs, waiting) == before
    assert await secret_of(client) == secret
    assert (await stranger.call("GET", f"{JOBS}?tag={TAG}")).body["total"] == 0
    await client.call("DELETE", f"{JOBS}/{waiting}")
    await client.call("POST", f"{JOBS}/{jobs[0]}/cancel")


async def test_a_strangers_idempotency_key_is_another(client: ApiClient, stranger: ApiClient) -> None:
    wish = {"model": "synthetic", "prompt": "hello"}
    mine, theirs = [await each.call("POST", JOBS, wish, key="order 1") for each in (client, stranger)]

    assert (mine.status, theirs.status) == (201, 201)
    assert mine.body["job_id"] != theirs.body["job_id"]


async def test_no_route_opens_without_a_key_or_with_one_of_another_kind(
    grid: Grid, patient_url: str, stranger: ApiClient, calls: list[Call]
) -> None:
    async with ApiClient(patient_url, "") as nobody, ApiClient(patient_url, grid.admin_key) as operator:
        for call in calls:
            path = named_by(call, unknown_ids())
            wrong = operator if call.is_for_accounts else stranger
            for caller in (nobody, wrong):
                answer = await caller.call(call.method, path, call.body)
                assert (answer.status, is_refused(answer, UNAUTHENTICATED)) == (401, True), (call, answer)


async def test_a_key_that_may_only_read_changes_nothing_on_any_route(
    grid: Grid, client: ApiClient, patient_url: str, calls: list[Call]
) -> None:
    account = ids_of(grid, client)["account"]
    key = grid.ask("POST", f"/admin/v1/accounts/{account}/keys", {"scopes": ["jobs:read"]})["key"]
    async with ApiClient(patient_url, key) as reader:
        for call in [call for call in calls if call.is_for_accounts and call.method != "GET"]:
            answer = await reader.call(call.method, named_by(call, unknown_ids()), call.body)
            assert (answer.status, is_refused(answer, frozenset({"forbidden"}))) == (403, True), (call, answer)
