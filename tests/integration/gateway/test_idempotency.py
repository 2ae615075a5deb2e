"""`Idempotency-Key`: whatever a client does with one, at whichever gateway, its work is done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientTimeout

from gridloom_contract.jobs import RetryJob
from gridloom_contract.vocabulary import State
from gridloom_domain import ids
from gridloom_kit.mongo import Database
from gridloom_testing.clients import JOBS, Answer, ApiClient
from integration.gateway.conftest import OpenGateway, RunningGateway, Tenant
from integration.gateway.scripted import ScriptedScheduler

KEY = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
BODY = {"model": "m", "prompt": "a secret prompt"}
CLAIMS = "idempotency_keys"
IMPATIENT = ClientTimeout(total=0.3)


async def submit(client: ApiClient, key: str, **changes: Any) -> Answer:
    return await client.call("POST", JOBS, BODY | changes, key=key)


async def a_failed_job(client: ApiClient, scheduler: ScriptedScheduler) -> str:
    job = await client.submit()
    scheduler.change(ids.from_uuid(job), state=State.FAILED)
    return job


async def retry(client: ApiClient, job: str, **options: Any) -> Answer:
    return await client.call("POST", f"{JOBS}/{job}/retry", key="k", **options)


def outcome_of(answer: Answer) -> tuple[int, Any]:
    return answer.status, answer.body


@pytest.fixture
async def beside(open_gateway: OpenGateway, gateway: RunningGateway, client: ApiClient) -> AsyncIterator[ApiClient]:
    """The same account at a second gateway."""
    second = await open_gateway()
    async with ApiClient(second.url, client.key) as beside:
        yield beside


async def test_the_same_key_and_body_get_the_same_answer_and_one_job(
    client: ApiClient, beside: ApiClient, scheduler: ScriptedScheduler
) -> None:
    first = await submit(client, "order 1")
    scheduler.change(ids.from_uuid(first.body["job_id"]), state=State.RUNNING)
    again = [await submit(client, "order 1"), await submit(beside, "order 1")]

    assert first.status == 201
    assert REPLAYED not in first.headers
    assert [outcome_of(each) for each in again] == [outcome_of(first)] * 2
    assert {each.headers[REPLAYED] for each in again} == {"true"}
    assert {each.headers["Content-Type"] for each in again} == {"application/json"}
    assert len(scheduler.jobs) == 1


async def test_every_place_of_the_same_api_counts_as_one(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    places = ("/api/v1/jobs", "/api/v1/jobs/", "/api/v1/v1/jobs", "/vibe/api/v1/jobs")
    answers = [await client.call("POST", place, BODY, key="k") for place in places]

    assert len({answer.body["job_id"] for answer in answers}) == 1
    assert len(scheduler.jobs) == 1


async def test_another_body_or_route_under_the_same_key_is_a_conflict(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    first = await submit(client, "k")
    job = first.body["job_id"]
    others = [
        await submit(client, "k", prompt="another prompt"),
        await client.call("POST", f"{JOBS}/{job}/cancel", key="k"),
        await client.call("POST", f"{JOBS}/{job}/retry", key="k"),
        await client.call("POST", f"{JOBS}?page=1", BODY, key="k"),
    ]

    assert [(each.status, each.body["error"], each.body["field"]) for each in others] == [(409, "conflict", KEY)] * 4
    assert outcome_of(await submit(client, "k")) == outcome_of(first)
    assert len(scheduler.jobs) == 1
    assert scheduler.jobs[ids.from_uuid(job)].state is State.QUEUED


async def test_keys_belong_to_an_account(
    gateway: RunningGateway, client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    other = await gateway.tenant()
    async with ApiClient(gateway.url, other.key) as stranger:
        mine, theirs = await submit(client, "k"), await submit(stranger, "k", prompt="theirs")

    assert (mine.status, theirs.status) == (201, 201)
    assert mine.body["job_id"] != theirs.body["job_id"]
    assert len(scheduler.jobs) == 2


async def test_all_keys_of_an_account_share_them(
    gateway: RunningGateway, client: ApiClient, tenant: Tenant, scheduler: ScriptedScheduler
) -> None:
    second = (await gateway.ask("POST", f"/admin/v1/accounts/{tenant.account}/keys", {})).body["key"]
    async with ApiClient(gateway.url, second) as with_another_key:
        answers = [await submit(client, "k"), await submit(with_another_key, "k")]

    assert outcome_of(answers[0]) == outcome_of(answers[1])
    assert len(scheduler.jobs) == 1


async def test_two_hundred_at_once_at_two_gateways_make_one_job(
    client: ApiClient, beside: ApiClient, scheduler: ScriptedScheduler
) -> None:
    answers = await asyncio.gather(*(submit(each, "k") for _ in range(100) for each in (client, beside)))

    assert {answer.status for answer in answers} == {201}
    assert {str(answer.body) for answer in answers} == {str(answers[0].body)}
    assert len(scheduler.jobs) == 1


async def test_what_is_not_made_under_an_id_is_carried_out_by_one_at_a_time(
    client: ApiClient, beside: ApiClient, scheduler: ScriptedScheduler
) -> None:
    job = await a_failed_job(client, scheduler)

    answers = await asyncio.gather(*(retry(each, job) for _ in range(10) for each in (client, beside)))

    assert {answer.status for answer in answers} == {200}
    assert {answer.body["status"] for answer in answers} == {"pending"}
    assert sum(REPLAYED in answer.headers for answer in answers) == 19


async def test_a_client_that_went_away_finds_its_job(open_gateway: OpenGateway, scheduler: ScriptedScheduler) -> None:
    gateway = await open_gateway(submit_deadline_seconds=1.0)
    tenant = await gateway.tenant()
    async with ApiClient(gateway.url, tenant.key) as client:
        await scheduler.leave()
        with pytest.raises(TimeoutError):
            await client.call("POST", JOBS, BODY, key="k", timeout=IMPATIENT)
        await scheduler.arrive()

        assert [(await submit(client, "k")).status for _ in range(2)] == [201, 201]
    assert len(scheduler.jobs) == 1


async def test_what_a_client_that_went_away_ordered_is_done_and_answered_later(
    client: ApiClient, scheduler: ScriptedScheduler
) -> None:
    job = await a_failed_job(client, scheduler)
    scheduler.is_awake.clear()
    with pytest.raises(TimeoutError):
        await retry(client, job, timeout=IMPATIENT)
    async with asyncio.TaskGroup() as tasks:
        again = tasks.create_task(retry(client, job))
        scheduler.is_awake.set()
    answer = again.result()

    assert (answer.status, answer.body["status"], answer.headers[REPLAYED]) == (200, "pending", "true")
    assert len([each for each in scheduler.asked if isinstance(each, RetryJob)]) == 1


@pytest.mark.parametrize("held_for", [timedelta(seconds=-1), timedelta(seconds=1)])
async def test_an_order_whose_gateway_died_is_carried_out_by_who_asks_again_once_it_is_free(
    client: ApiClient, scheduler: ScriptedScheduler, database: Database, held_for: timedelta
) -> None:
    job = await a_failed_job(client, scheduler)
    await retry(client, job)
    scheduler.change(ids.from_uuid(job), state=State.FAILED)
    free_at = datetime.now(UTC) + held_for
    await database[CLAIMS].update_one({}, {"$set": {"answer": None, "holder": "dead", "held_until": free_at}})

    answers = await asyncio.gather(*(retry(client, job) for _ in range(5)))

    assert {answer.status for answer in answers} == {200}
    assert len([each for each in scheduler.asked if isinstance(each, RetryJob)]) == 2
    assert datetime.now(UTC) >= free_at


async def test_a_lost_answer_of_the_grid_leaves_one_job(
    open_gateway: OpenGateway, scheduler: ScriptedScheduler
) -> None:
    gateway = await open_gateway(submit_deadline_seconds=0.2)
    tenant = await gateway.tenant()
    async with ApiClient(gateway.url, tenant.key) as client:
        await scheduler.leave()
        failed = await submit(client, "k")
        await scheduler.arrive()
        answers = [await submit(client, "k"), await submit(client, "k")]

    assert (failed.status, failed.body["error"]) == (503, "unavailable")
    assert [answer.status for answer in answers] == [201, 201]
    assert len(scheduler.jobs) == 1


async def test_a_refusal_leaves_the_key_free(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    scheduler.refused_models.add("m")
    refusals = [await submit(client, "k", prompt=7), await submit(client, "k")]
    scheduler.refused_models.clear()
    accepted = await submit(client, "k", prompt="a better one")

    assert [answer.status for answer in refusals] == [422, 422]
    assert accepted.status == 201
    assert REPLAYED not in accepted.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9", "a\tb"])
async def test_a_key_that_is_none_is_refused(client: ApiClient, scheduler: ScriptedScheduler, key: str) -> None:
    answer = await submit(client, key)

    assert (answer.status, answer.body["error"], answer.body["field"]) == (422, "invalid", KEY)
    assert not scheduler.jobs


async def test_a_key_sent_twice_is_refused(client: ApiClient, scheduler: ScriptedScheduler) -> None:
    headers = [(KEY, "a"), (KEY, "b"), ("Content-Type", "application/json")]
    async with client.session.post(JOBS, data=b'{"model":"m","prompt":"p"}', headers=headers) as answer:
        assert answer.status == 422
    assert not scheduler.jobs


async def test_a_key_of_any_printable_character_up_to_the_limit_is_taken(client: ApiClient) -> None:
    keys = ["x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "~ !#$%&'()*+,./:;<=>?@[]^_`{|}\\"]

    for key in keys:
        assert [(await submit(client, key)).status for _ in range(2)] == [201, 201]


async def test_what_is_kept_can_be_read_with_the_key_alone_and_ends_after_a_day(
    client: ApiClient, database: Database, tenant: Tenant
) -> None:
    answer = await submit(client, "order of Mr. Smith", tag="t")
    (kept,) = [row async for row in database[CLAIMS].find()]
    indexes = await database[CLAIMS].index_information()

    text = str(kept)
    told = ("Smith", "secret prompt", client.key, tenant.kid, tenant.account, answer.body["job_id"], "pending")
    assert not any(secret in text for secret in told)
    assert kept["ends_at"] - kept["held_until"] == timedelta(hours=24) - timedelta(seconds=20)
    assert indexes["ended"]["key"] == [("ends_at", 1)]
    assert indexes["ended"]["expireAfterSeconds"] == 0


async def test_the_header_has_no_meaning_elsewhere(gateway: RunningGateway, client: ApiClient) -> None:
    job = await client.submit()

    for method, path, body in (("GET", f"{JOBS}/{job}", None), ("PATCH", f"{JOBS}/{job}/priority", {"priority": 1})):
        answers = [await client.call(method, path, body, key="k") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert not any(REPLAYED in answer.headers for answer in answers)
    opened = [await gateway.admin.call("POST", "/admin/v1/accounts", {"name": "n"}, key="k") for _ in range(2)]
    assert opened[0].body["id"] != opened[1].body["id"]


async def test_requests_without_the_header_leave_nothing_behind(client: ApiClient, database: Database) -> None:
    await client.submit()

    assert await database[CLAIMS].count_documents({}) == 0


async def test_it_is_described_on_every_post_of_accounts(gateway: RunningGateway) -> None:
    document = (await gateway.ask("GET", "/openapi.json")).body

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = [each["name"] for each in operation["parameters"] if each["in"] == "header"]
            is_minded = method == "post" and operation["security"] == [{"apiKey": []}]
            assert named == ([KEY] if is_minded else []), (method, path)
            assert not is_minded or "409" in operation["responses"]
