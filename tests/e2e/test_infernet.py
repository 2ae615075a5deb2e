"""Infernet's API through real processes, by raw HTTP as its page shows it (seeds/002; API.md §5, calls 56 to 61)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from e2e.conftest import SLOW
from e2e.shelf import Shelf, open_shelf
from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_domain import ids
from gridloom_local.sse import SseParser
from gridloom_testing.admission import worker_of
from gridloom_testing.builders import a_job_id, a_worker_id
from gridloom_testing.clients import Answer, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

JOBS = "/infernet/api/v1/jobs"
MODELS = "/infernet/api/v1/models"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
IMPATIENT = 2.0
"""How long a job of this grid waits for a node."""


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid whose gateway gives up soon on jobs that nobody takes."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("infernet")) as opened:
        opened.start(SCHEDULER)
        opened.start(QUOTA)
        opened.start(GATEWAY, capacity_wait_seconds=IMPATIENT)
        opened.wait_until_ready()
        opened.start(WORKER, opened.enrol())
        opened.wait_until_ready()
        yield opened


@pytest.fixture(scope="module")
def one_shelf(grid: Grid) -> Shelf:
    """A worker with a model of its own."""
    return open_shelf(grid)


def wish(content: str = "Say hello", **fields: Any) -> dict[str, Any]:
    return {"model": "synthetic", "messages": [{"role": "user", "content": content}]} | fields


async def submitted(client: ApiClient, content: str = "Say hello", **fields: Any) -> str:
    answer = await client.call("POST", JOBS, wish(content, **fields))
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


async def got(client: ApiClient, job: str) -> dict[str, Any]:
    answer = await client.call("GET", f"{JOBS}/{job}")
    assert answer.status == 200, answer.body
    return dict(answer.body)


async def ended(client: ApiClient, job: str, within_seconds: float = 30.0) -> dict[str, Any]:
    """Poll as the page says, until the job is completed or failed."""
    async with asyncio.timeout(within_seconds):
        while (document := await got(client, job))["status"] in {"pending", "processing"}:
            await asyncio.sleep(0.05)
    return document


async def listed_as(client: ApiClient, model: str, *, is_there: bool) -> None:
    """Return once a model is listed, or no longer."""
    async with asyncio.timeout(20):
        while (model in str((await client.call("GET", MODELS)).body)) is not is_there:
            await asyncio.sleep(0.4)


class Stream:
    """An open event stream: `text` is what it said so far, `frames` all of its data."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.frames: list[str] = []
        self.ids: list[str] = []

    @property
    def text(self) -> str:
        return "".join(msgspec.json.decode(frame).get("text", "") for frame in self.frames if frame != "[DONE]")

    async def read(self, words: int = 1_000_000) -> str:
        """Read until so many words have come, or to the end."""
        parser = SseParser()
        async with asyncio.timeout(30):
            async for piece in self.answer.content.iter_any():
                for event in parser.feed(piece):
                    self.frames.append(event.data)
                    self.ids.append(event.id)
                if len(self.text.split()) >= words:
                    break
        return self.text


@asynccontextmanager
async def following(client: ApiClient, job: str, last_id: str = "") -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with client.session.get(f"{JOBS}/{job}/stream", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        yield Stream(answer)


async def test_a_job_is_submitted_polled_and_completed(client: ApiClient) -> None:
    answer = await client.call("POST", JOBS, wish("Hello!"))
    assert answer.status == 201
    assert list(answer.body) == ["id", "status", "model", "created_at"]
    assert (answer.body["status"], answer.body["model"]) == ("pending", "synthetic")
    assert re.fullmatch(r"job_[0-9a-f]{32}", answer.body["id"])
    assert MOMENT.fullmatch(answer.body["created_at"])

    document = await ended(client, answer.body["id"])

    assert list(document) == [
        *("id", "status", "model", "node_id", "result", "created_at", "completed_at", "latency_ms")
    ]
    usage = document["result"]["usage"]
    assert len(document["result"]["content"].split()) == usage["completion_tokens"] == 16
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert document["latency_ms"] >= 0


async def test_a_stream_at_submission_is_the_text_and_done(client: ApiClient) -> None:
    async with client.session.post(JOBS, json=wish("[[tokens=20]] [[rate=50]]", stream=True)) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        job = answer.headers["X-Gridloom-Job"]
        assert "X-RateLimit-Remaining" in answer.headers
        stream = Stream(answer)
        text = await stream.read()

    assert len(text.split()) == 20
    assert len(stream.frames) > 5
    assert stream.frames[-1] == "[DONE]"
    assert text == (await ended(client, job))["result"]["content"]


async def test_two_readers_and_a_late_one_see_the_same_text(client: ApiClient) -> None:
    job = await submitted(client, SLOW)
    async with following(client, job) as one, following(client, job) as two:
        texts = await asyncio.gather(one.read(), two.read())
    async with following(client, job) as late:
        texts.append(await late.read())

    content = (await got(client, job))["result"]["content"]
    assert texts == [content] * 3
    assert [stream.frames[-1] for stream in (one, two, late)] == ["[DONE]"] * 3


async def test_a_reader_that_was_cut_off_goes_on_where_it_was(client: ApiClient) -> None:
    job = await submitted(client, SLOW)
    async with following(client, job) as first:
        await first.read(words=10)
    async with following(client, job, first.ids[-1]) as second:
        await second.read()

    assert first.text + second.text == (await got(client, job))["result"]["content"]


async def test_a_reader_hears_every_word_once_although_the_node_dies(
    grid: Grid, client: ApiClient, shelf: Shelf
) -> None:
    first = grid.start(WORKER, grid.enrol(), models=shelf.model, slots=1)
    grid.wait_until_ready()
    job = await submitted(client, SLOW, model=shelf.model)
    async with following(client, job) as stream:
        await stream.read(words=10)
        shelf.resume()
        first.kill()
        await stream.read()

    document = await ended(client, job)
    assert document["node_id"] == shelf.worker
    assert (stream.text, stream.frames[-1]) == (document["result"]["content"], "[DONE]")


async def test_a_stream_of_a_job_that_fails_ends_with_the_error_and_done(client: ApiClient) -> None:
    job = await submitted(client, "[[tokens=3]] [[reject]]")
    async with following(client, job) as stream:
        await stream.read()
    document = await got(client, job)

    error = msgspec.json.decode(stream.frames[-2])
    assert stream.frames[-1] == "[DONE]"
    assert (error["error"], error["message"]) == (document["error"], document["error_message"])
    assert (document["status"], document["error"]) == ("failed", "bad_request")


async def test_a_job_canceled_elsewhere_has_failed_as_canceled(client: ApiClient) -> None:
    job = await submitted(client, "[[hang]]")
    name = ids.as_uuid(ids.from_prefixed(job))
    await client.until(name, "running")
    async with following(client, job) as stream:
        await client.call("POST", f"/api/v1/jobs/{name}/cancel")
        await stream.read()

    assert msgspec.json.decode(stream.frames[-2])["error"] == "canceled"
    assert stream.frames[-1] == "[DONE]"
    assert (await got(client, job))["error"] == "canceled"


async def test_a_job_that_nobody_takes_in_time_fails_with_no_capacity(client: ApiClient, shelf: Shelf) -> None:
    job = await submitted(client, model=shelf.model)
    assert (await got(client, job))["status"] == "pending"

    document = await ended(client, job)

    assert (document["status"], document["error"]) == ("failed", "no_capacity")
    assert document["error_message"]
    assert IMPATIENT * 1000 <= document["latency_ms"] < IMPATIENT * 1000 + 5000


async def test_a_stream_without_any_node_is_refused_with_503(grid: Grid, client: ApiClient) -> None:
    gone = grid.start(WORKER, grid.enrol(), models="gone:1b")
    await listed_as(client, "gone:1b", is_there=True)
    gone.stop()
    await listed_as(client, "gone:1b", is_there=False)

    refused = await client.call("POST", JOBS, wish(model="gone:1b", stream=True))
    accepted = await client.call("POST", JOBS, wish(model="gone:1b"))

    assert (refused.status, refused.body["error"], list(refused.body)) == (
        503,
        "no_capacity",
        ["error", "error_message"],
    )
    assert accepted.status == 201


async def test_a_job_is_pinned_to_a_node(grid: Grid, client: ApiClient) -> None:
    token = grid.enrol()
    grid.start(WORKER, token)
    grid.wait_until_ready()
    node = worker_of(token)

    pinned = [await submitted(client, node_id=node) for _ in range(4)]
    nowhere = await client.call("POST", JOBS, wish(node_id=a_worker_id()))
    nonsense = await client.call("POST", JOBS, wish(node_id="wrk.*.>"))

    assert {(await ended(client, job))["node_id"] for job in pinned} == {node}
    assert [(each.status, each.body["error"]) for each in (nowhere, nonsense)] == [(503, "no_capacity")] * 2


WRONG = {
    "no messages": {"messages": ...},
    "empty messages": {"messages": []},
    "messages of strings": {"messages": ["hello"]},
    "a message without a role": {"messages": [{"content": "hello"}]},
    "no model": {"model": ...},
    "a hot temperature": {"temperature": 2.5},
    "a cold temperature": {"temperature": -1},
    "top_p": {"top_p": 1.5},
    "no tokens": {"max_tokens": 0},
    "half a token": {"max_tokens": 1.5},
    "stream": {"stream": "true"},
    "node_id": {"node_id": 1},
}


async def refusal(answer: Answer) -> tuple[int, str]:
    assert list(answer.body) == ["error", "error_message"], answer.body
    assert answer.body["error_message"]
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(answer.headers)
    return answer.status, answer.body["error"]


async def test_what_is_wrong_is_a_400(client: ApiClient) -> None:
    for case, change in WRONG.items():
        body = {name: value for name, value in wish(**change).items() if value is not ...}
        assert await refusal(await client.call("POST", JOBS, body)) == (400, "bad_request"), case
    for query in ("limit=0", "limit=x", "status=done", "since=yesterday", "limit=1&limit=2"):
        assert await refusal(await client.call("GET", f"{JOBS}?{query}")) == (400, "bad_request"), query


async def test_every_error_has_the_documented_shape_and_the_rate_headers(grid: Grid, client: ApiClient) -> None:
    unknown = f"{JOBS}/job_{a_job_id()}"
    async with ApiClient(grid.url, "glm_nobody_nothing") as nobody:
        assert await refusal(await nobody.call("GET", JOBS)) == (401, "unauthorized")
    assert await refusal(await client.call("GET", unknown)) == (404, "job_not_found")
    assert await refusal(await client.call("GET", f"{unknown}/stream")) == (404, "job_not_found")
    assert await refusal(await client.call("GET", f"{JOBS}/job_9a3f2c1d")) == (404, "job_not_found")
    assert await refusal(await client.call("POST", JOBS, wish(model="nobodys"))) == (404, "model_not_found")
    assert await refusal(await client.call("POST", JOBS, wish(model="nobodys", stream=True))) == (
        404,
        "model_not_found",
    )
    assert await refusal(await client.call("GET", "/infernet/api/v1/nothing")) == (404, "not_found")
    assert await refusal(await client.call("DELETE", JOBS)) == (405, "method_not_allowed")
    async with client.session.post(JOBS, data=b"{", headers={"Content-Type": "application/json"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "bad_request")
    async with client.session.post(JOBS, data={"model": "synthetic"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "bad_request")
    async with client.session.post(JOBS, data=b"x", headers={"Content-Encoding": "gzip"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (415, "unsupported_media_type")


async def test_a_key_may_call_sixty_times_a_minute_and_is_told_so(grid: Grid) -> None:
    left = 60 - int(time.time()) % 60
    if left < 10:
        await asyncio.sleep(left)
    async with grid.client() as client:
        answers = [await client.call("GET", MODELS) for _ in range(61)]

    statuses = [answer.status for answer in answers]
    assert statuses == [200] * 60 + [429]
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers] == [*range(59, -1, -1), 0]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"60"}
    last = answers[-1]
    assert await refusal(last) == (429, "rate_limited")
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    assert 0 <= int(last.headers["X-RateLimit-Reset"]) - time.time() <= 60


async def test_jobs_are_listed_newest_first_and_only_those_of_this_api(grid: Grid) -> None:
    async with grid.client() as client:
        await client.submit()
        failed = await submitted(client, "[[reject]]")
        others = [await submitted(client, f"number {number}") for number in range(3)]
        for job in [failed, *others]:
            await ended(client, job)

        async def listed(query: str = "") -> list[str]:
            answer = await client.call("GET", f"{JOBS}{query}")
            assert list(answer.body) == ["jobs"]
            return [job["id"] for job in answer.body["jobs"]]

        created_at = (await got(client, others[0]))["created_at"]
        assert await listed() == await listed("?limit=500") == [*reversed(others), failed]
        assert await listed("?limit=2") == [others[2], others[1]]
        assert await listed("?status=failed") == [failed]
        assert await listed("?status=completed&limit=1") == [others[2]]
        assert await listed("?status=pending") == await listed("?since=2100-01-01") == []
        assert set(await listed(f"?since={created_at}")) >= set(others)


async def test_models_say_how_many_nodes_serve_them(client: ApiClient) -> None:
    models = (await client.call("GET", MODELS)).body["models"]
    synthetic = next(model for model in models if model["id"] == "synthetic")

    assert list(synthetic) == ["id", "nodes", "avg_tokens_per_second"]
    assert synthetic["nodes"] >= 1


async def test_a_repeated_submission_makes_one_job(client: ApiClient) -> None:
    answers = [await client.call("POST", JOBS, wish(), key="once") for _ in range(2)]
    other = await client.call("POST", JOBS, wish("other"), key="once")

    assert answers[0].body == answers[1].body
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert await refusal(other) == (409, "conflict")
