"""The OpenAI surface through real processes, by raw HTTP (seeds/004; API.md §1.5, §2.3; §5, calls 34 to 37)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import FormData

from e2e.conftest import SLOW
from e2e.openai_raw import CHAT, JOBS, asked, chat, following, later, streaming, until
from e2e.quotas import a_customer
from e2e.shelf import MODEL, Shelf, open_shelf
from gridloom_contract.registry import BLOB, GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_domain import ids
from gridloom_local.servers import LOOPBACK, free_port
from gridloom_testing.admission import worker_of
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

IMPATIENT = 2.0
"""How long a request waits in this grid while every slot is busy."""


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid whose gateway does not wait long for a free worker."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("openai")) as opened:
        opened.start(SCHEDULER)
        opened.start(QUOTA)
        opened.start(BLOB)
        opened.start(GATEWAY, capacity_wait_seconds=IMPATIENT)
        opened.wait_until_ready()
        opened.start(WORKER, opened.enrol(), models="synthetic,embedder")
        opened.wait_until_ready()
        yield opened


@pytest.fixture(scope="module")
def one_shelf(grid: Grid) -> Shelf:
    """A worker with one slot and a model of its own."""
    return open_shelf(grid)


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/", "/openai/v1/chat/completions"])
async def test_a_request_that_waits_is_a_job_that_no_list_shows(client: ApiClient, path: str) -> None:
    answer = await client.call("POST", path, chat("Say hello [[tokens=3]]"))

    assert answer.status == 200
    job = answer.headers["X-Gridloom-Job"]
    assert answer.body["id"] == f"chatcmpl-{job}"
    document = (await client.call("GET", f"{JOBS}/{job}")).body
    assert (document["status"], document["result"]) == ("PROCESSED", answer.body)
    assert (await client.call("GET", JOBS)).body["data"] == []
    timeline = await client.timeline(ids.as_uuid(ids.from_base32(job)))
    assert [event["type"] for event in timeline] == ["accepted", "assigned", "started", "finished"]


async def test_jobs_that_nobody_waits_for_are_listed_by_what_they_are(client: ApiClient) -> None:
    done = await later(client, "Say hello", visibility="private", collection="songs")
    await until(client, done, "PROCESSED")
    running = await later(client, "[[hang]]")
    await until(client, running, "PROCESSING")

    async def listed(query: str) -> list[str]:
        answer = await client.call("GET", f"{JOBS}{query}")
        assert answer.status == 200, answer.body
        return [job["id"] for job in answer.body["data"]]

    assert await listed("") == [running, done]
    assert await listed("?limit=1") == [running]
    assert await listed("?limit=1&page=2") == [done]
    assert await listed("?status=PROCESSED") == [done]
    assert await listed("?active=1") == [running]
    assert await listed("?active=1&status=FAILED") == []
    assert (await client.call("GET", f"{JOBS}?status=asleep")).status == 400
    document = (await client.call("GET", f"{JOBS}/{done}")).body
    assert (document["visibility"], document["collection"]) == ("private", "songs")
    assert document["latency_ms"] >= 0
    assert (await client.call("POST", f"{JOBS}/{running}/cancel")).body["canceled"] is True


async def test_a_job_is_canceled_once_and_retried_if_it_did_not_succeed(client: ApiClient) -> None:
    done, hanging = await later(client), await later(client, "[[hang]]")
    await until(client, done, "PROCESSED")
    await until(client, hanging, "PROCESSING")

    too_late = await client.call("POST", f"{JOBS}/{done}/cancel")
    in_time = await client.call("POST", f"{JOBS}/{hanging}/cancel")
    retried = await client.call("POST", f"{JOBS}/{hanging}/retry")
    refused = await client.call("POST", f"{JOBS}/{done}/retry")

    assert (too_late.status, too_late.body) == (200, {"id": done, "status": "PROCESSED", "canceled": False})
    assert in_time.body == {"id": hanging, "status": "CANCELED", "canceled": True}
    assert (retried.status, retried.body["id"], retried.body["status"]) == (202, hanging, "QUEUED")
    assert (refused.status, refused.body["error"]["type"]) == (409, "conflict")
    assert refused.headers["X-Should-Retry"] == "false"
    await client.call("POST", f"{JOBS}/{hanging}/cancel")


async def test_a_job_that_failed_says_why(client: ApiClient) -> None:
    document = await until(client, await later(client, "[[reject]]"), "FAILED")
    assert document["error"]["type"] == "invalid_request"
    assert "result" not in document


async def test_with_async_and_stream_there_is_a_job_and_its_result_is_whole(client: ApiClient) -> None:
    document = await until(client, await later(client, "Say hello [[tokens=4]]", stream=True), "PROCESSED")
    assert len(document["result"]["choices"][0]["message"]["content"].split()) == 4


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "Once"}, "text_completion"),
        ("/v1/embeddings", {"model": "embedder", "input": "loom"}, "list"),
        ("/v1/responses", {"input": "Say hello", "instructions": "Be brief."}, "response"),
    ],
)
async def test_every_request_may_be_answered_later_with_what_it_would_have_been_answered_with(
    client: ApiClient, path: str, body: dict[str, Any], kind: str
) -> None:
    now = await client.call("POST", path, {"model": "synthetic"} | body)
    then = await client.call("POST", path, {"model": "synthetic", "async": True} | body)
    document = await until(client, then.body["id"], "PROCESSED")

    assert (now.status, then.status) == (200, 202)
    assert document["result"]["object"] == kind
    assert _without_names(document["result"]) == _without_names(now.body)


async def test_a_job_of_another_api_is_shown_as_an_answer(client: ApiClient) -> None:
    native = await client.submit(prompt="Say hello [[tokens=3]]")
    output = (await client.ended(native))["output"]
    job = ids.as_base32(ids.from_uuid(native))

    document = (await client.call("GET", f"{JOBS}/{job}")).body
    async with following(client, job) as reader:
        await reader.to_the_end()

    assert document["result"]["choices"][0]["message"] == {"role": "assistant", "content": output}
    assert (reader.text, reader.is_done) == (output, True)
    assert (await client.call("GET", f"{JOBS}/{native}")).status == 404


async def test_nobody_sees_or_stops_the_jobs_of_others(grid: Grid, client: ApiClient) -> None:
    job = await later(client)
    async with grid.client() as stranger:
        for method, path in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("POST", "/retry")):
            answer = await stranger.call(method, f"{JOBS}/{job}{path}")
            assert (answer.status, answer.body["error"]["type"]) == (404, "not_found")


async def test_a_request_waits_while_every_slot_is_busy_and_its_stream_begins_at_once(
    client: ApiClient, shelf: Shelf
) -> None:
    shelf.resume()
    await asked(client, "warm up", model=MODEL)
    async with streaming(client, "[[tokens=20]] [[rate=20]]", model=MODEL) as first:
        await first.words(1)
        async with streaming(client, "[[tokens=2]]", model=MODEL) as second:
            opening = await second.next()
            assert first.text.count(" ") < 10
            await first.to_the_end()
            await second.to_the_end()

    assert opening is not None
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (len(first.text.split()), len(second.text.split())) == (20, 2)


async def test_a_request_does_not_wait_longer_than_it_may(client: ApiClient, shelf: Shelf) -> None:
    shelf.resume()
    await asked(client, "warm up", model=MODEL)
    async with (
        streaming(client, "[[tokens=1]] [[rate=20]] [[hang]]", model=MODEL) as first,
        streaming(client, "next in the worker's own line", model=MODEL) as second,
    ):
        await first.words(1)
        answer = await asked(client, "Say hello", model=MODEL)
        async with streaming(client, "Say hello", model=MODEL) as streamed:
            await streamed.to_the_end()
        await second.to_the_end()

    assert (answer.status, answer.body["error"]["type"]) == (503, "unavailable")
    assert answer.headers["X-Should-Retry"] == "true"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Gridloom-Job"]
    for nobody_started in (second, streamed):
        assert (nobody_started.errors[0]["type"], nobody_started.is_done) == ("unavailable", False)
        assert nobody_started.text == ""


async def test_a_request_over_quota_is_told_when_there_is_room_again(grid: Grid) -> None:
    async with a_customer(grid, daily_tokens=0) as customer, streaming(customer.client, "Say hello") as streamed:
        answer = await asked(customer.client)
        await streamed.to_the_end()
        kept = (await customer.client.call("GET", f"{JOBS}/{await later(customer.client)}")).body["status"]

    now = datetime.now(UTC)
    left = (datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC) - now).total_seconds()
    assert (answer.status, answer.body["error"]["type"]) == (429, "rate_limit_exceeded")
    assert answer.body["detail"] == answer.body["error"]["message"]
    assert "00:00 UTC" in answer.body["detail"]
    assert abs(int(answer.headers["Retry-After"]) - left) < 30
    assert answer.headers["X-Should-Retry"] == ("false" if int(answer.headers["Retry-After-Ms"]) > 120_000 else "true")
    assert (streamed.errors[0], streamed.is_done) == (answer.body["error"], False)
    assert kept == "QUEUED", "what nobody waits for is taken in all the same"


async def test_a_model_that_nobody_serves_now_has_no_provider(client: ApiClient, shelf: Shelf) -> None:
    for model in (MODEL, "nobody"):
        answer = await asked(client, "Say hello", model=model)
        assert (answer.status, answer.body["error"]["type"]) == (404, "no_provider")
        assert answer.headers["X-Should-Retry"] == "false"
    assert (await client.call("GET", f"{JOBS}/{await later(client, model=MODEL)}")).body["status"] == "QUEUED"


async def test_a_reader_that_was_cut_off_goes_on_at_another_gateway(client: ApiClient, beside: ApiClient) -> None:
    job = await later(client, SLOW)
    async with following(client, job) as first:
        await first.words(10)
    async with following(beside, job, first.last_id) as second:
        await second.words(10)
    await until(client, job, "PROCESSED")
    async with following(client, job, second.last_id) as third, following(beside, job) as whole:
        await third.to_the_end()
        await whole.to_the_end()

    document = (await client.call("GET", f"{JOBS}/{job}")).body
    assert first.text + second.text + third.text == document["result"]["choices"][0]["message"]["content"]
    assert whole.text == document["result"]["choices"][0]["message"]["content"]
    assert (third.is_done, whole.is_done) == (True, True)
    assert third.chunks[-1]["usage"] == document["result"]["usage"]


async def test_a_reader_that_takes_nothing_is_disconnected_and_its_job_canceled(grid: Grid, client: ApiClient) -> None:
    port = free_port()
    grid.start(GATEWAY, port=port, stream_write_timeout_seconds=0.5)
    await grid.until_ready()
    body = msgspec.json.encode(chat("[[tokens=400]] [[rate=40]] [[repeat=20000]]", stream=True))
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=1024)
    writer.write(head.encode() + body)
    headers = (await reader.readuntil(b"\r\n\r\n")).decode()
    (job,) = re.findall(r"(?m)^X-Gridloom-Job: (\w+)\r$", headers)

    document = await until(client, job, "CANCELED", "FAILED", "PROCESSED")
    writer.close()

    assert document["status"] == "CANCELED"
    timeline = await client.timeline(ids.as_uuid(ids.from_base32(job)))
    assert timeline[-1]["reason"] == "client_gone"


async def test_a_stream_whose_worker_dies_goes_on_at_another(grid: Grid, client: ApiClient) -> None:
    tokens = [grid.enrol() for _ in range(2)]
    workers = {worker_of(token): grid.start(WORKER, token, slots=1, models="mortal") for token in tokens}
    await grid.until_ready()
    async with streaming(client, SLOW, model="mortal") as reader:
        await reader.words(10)
        job = ids.as_uuid(ids.from_base32(reader.headers["X-Gridloom-Job"]))
        busy = next(event["worker"] for event in await client.timeline(job) if event["type"] == "assigned")
        workers[busy].kill()
        await reader.to_the_end()

    assert (reader.errors, reader.is_done, len(reader.text.split())) == ([], True, 60)
    assert reader.text == (await client.job(job))["output"]
    assert [event["type"] for event in await client.timeline(job)].count("assigned") == 2


async def test_a_request_with_a_key_does_its_work_once(client: ApiClient) -> None:
    first = await client.call("POST", CHAT, chat("Say hello"), key="once")
    again = await client.call("POST", CHAT, chat("Say hello"), key="once")
    async with client.session.post(
        CHAT, json=chat("Say hello", stream=True), headers={"Idempotency-Key": "streamed"}
    ) as one:
        one_text = await one.text()
    async with client.session.post(
        CHAT, json=chat("Say hello", stream=True), headers={"Idempotency-Key": "streamed"}
    ) as two:
        await two.read()

    assert (again.status, again.body) == (first.status, first.body)
    assert one.headers["X-Gridloom-Job"] == two.headers["X-Gridloom-Job"]
    assert one_text.endswith("data: [DONE]\n\n")


async def test_every_failure_has_both_shapes_and_a_request_id(client: ApiClient) -> None:
    cases = [
        await client.call("POST", CHAT, chat(model=None)),
        await client.call("POST", CHAT, [1]),
        await client.call("POST", "/v1/responses", {"model": "synthetic", "input": [{"type": "item_reference"}]}),
        await client.call("GET", "/v1/nothing"),
        await client.call("GET", CHAT),
        await client.call("POST", "/v1/audio/speech", {"model": "synthetic"}),
        await client.call("POST", "/v1/videos/generations", {"model": "synthetic"}),
        await client.call("GET", "/v1/workflows/templates"),
    ]
    for answer, status in zip(cases, [400, 400, 400, 404, 405, 404, 404, 404], strict=True):
        assert answer.status == status, answer.body
        assert answer.body["detail"] == answer.body["error"]["message"]
        assert answer.body["error"].keys() == {"message", "type", "code", "param"}
        assert answer.headers["X-Request-ID"]
        assert answer.headers["X-Should-Retry"] == "false"


async def test_files_in_a_body_are_refused_and_never_half_understood(client: ApiClient) -> None:
    form = FormData({"model": "synthetic", "async": "true"})
    form.add_field("messages", b"[]", filename="messages.json")
    async with client.session.post(CHAT, data=form) as answer:
        body = await answer.json()
    assert (answer.status, body["error"]["type"]) == (415, "unsupported_media_type")


async def test_large_questions_and_answers_pass_through(client: ApiClient) -> None:
    question = "x" * 400_000 + " [[tokens=50]] [[repeat=1500]]"
    async with streaming(client, question) as reader:
        await reader.to_the_end()
    answer = await asked(client, question)
    text = answer.body["choices"][0]["message"]["content"]
    vectors = await client.call(
        "POST", "/v1/embeddings", {"model": "embedder", "input": ["a", "b"] * 100, "dimensions": 1024}
    )

    assert len(text) > 256 * 1024
    assert (reader.text == text, reader.is_done) == (True, True)
    assert answer.body["id"] == f"chatcmpl-{answer.headers['X-Gridloom-Job']}"
    assert [len(item["embedding"]) for item in vectors.body["data"]] == [1024] * 200
    assert isinstance(vectors.body["data"][0]["embedding"][0], float)


def _without_names(body: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name not in ("id", "created", "created_at")}
    for item in kept.get("output", []):
        del item["id"]
    return kept
