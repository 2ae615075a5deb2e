"""Batches of both kinds over raw HTTP: taken as a whole or line by line, canceled, and seen by their account alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from e2e.uploads import FILES, lines_uploaded
from gridloom_contract.registry import BLOB
from gridloom_domain import ids
from gridloom_kit.mongo import open_database
from gridloom_testing.clients import ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

BATCHES = "/v1/batches"
CHAT = "/v1/chat/completions"
REFUSALS = {400: "invalid_req", 415: "unsupported"}
_PATIENCE_SECONDS = 30.0
_LONG = "Be brief. " * 7_000
"""Too long to be kept with a job."""
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "synthetic", "messages": [{"role": "user", "content": "Hi. [[tokens=2]]"}]},
    "/v1/completions": {"model": "synthetic", "prompt": "Once. [[tokens=2]]"},
    "/v1/embeddings": {"model": "embedder", "input": ["one", "two"]},
    "/v1/responses": {"model": "synthetic", "input": "Hi. [[tokens=2]]", "instructions": _LONG},
}
WINDOW = "completion_window"
KINDS = ["chat.completion", "text_completion", "list", "response"]


@pytest.fixture(scope="module")
def batch_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that keeps files."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("grid")) as grid:
        grid.start_all(BLOB, slots=8, models=("synthetic", "embedder"))
        yield grid


@pytest.fixture
async def client(batch_grid: Grid) -> AsyncIterator[ApiClient]:
    """A client of a new account."""
    async with batch_grid.client() as client:
        yield client


def entry(prompt: str = "Say hello. [[tokens=2]]", **body: Any) -> dict[str, Any]:
    """Return one request of a batch."""
    messages = [{"role": "user", "content": prompt}]
    return {"endpoint": CHAT, "body": {"model": "synthetic", "messages": messages} | body}


def line(number: int, **body: Any) -> dict[str, Any]:
    """Return one line of a file."""
    return {"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": entry()["body"] | body}


async def read(client: ApiClient, file: str) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    async with client.session.get(f"{FILES}/{file}/content") as answer:
        assert answer.status == 200
        return [msgspec.json.decode(text) for text in (await answer.read()).splitlines()]


async def made_of(client: ApiClient, file: str, **fields: Any) -> dict[str, Any]:
    """Make a batch of a file."""
    order = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"} | fields
    answer = await client.call("POST", BATCHES, order)
    assert answer.status == 200, answer.body
    return dict(answer.body)


async def until(client: ApiClient, batch: str, *statuses: str) -> dict[str, Any]:
    """Return the batch once it is in one of these states. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (found := (await client.call("GET", f"{BATCHES}/{batch}")).body)["status"] not in statuses:
            await asyncio.sleep(0.1)
    return dict(found)


async def until_put_back(grid: Grid, batch: str) -> None:
    """Return once all lines are handed in and nobody has the file in hand: the batch is looked at again soon."""
    async with open_database(grid.mongo.url_of("admin", grid.database), grid.database) as database:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                soon = {"$lt": datetime.now(UTC) + timedelta(seconds=5)}
                query = {"_id": batch, "submitted_at": {"$exists": True}, "due_at": soon}
                if await database["job_batches"].find_one(query):
                    return
                await asyncio.sleep(0.02)


async def expire(grid: Grid, batch: str) -> None:
    """Let the window of a batch be over, without waiting for it."""
    async with open_database(grid.mongo.url_of("admin", grid.database), grid.database) as database:
        over = {"$set": {"expires_at": datetime.now(UTC)}}
        await database["job_batches"].update_one({"_id": batch}, over)
        await database["jobs"].update_many({"parent": batch, "ended_at": {"$exists": False}}, over)


async def test_a_batch_of_requests_is_taken_and_shows_its_jobs_in_order(client: ApiClient) -> None:
    order = {"requests": [entry("One. [[tokens=1]]"), entry("Two. [[tokens=2]]")], "label": "two"}
    answer = await client.call("POST", BATCHES, order)
    assert answer.status == 202
    assert (answer.body["label"], answer.body["total"]) == ("two", 2)
    batch = await until(client, answer.body["id"], "DONE")
    assert (batch["processed"], batch["failed"], batch["queued"], batch["processing"]) == (2, 0, 0, 0)
    assert [job["status"] for job in batch["jobs"]] == ["PROCESSED", "PROCESSED"]
    results = [(await client.call("GET", f"/v1/jobs/{job['id']}")).body["result"] for job in batch["jobs"]]
    assert [result["usage"]["completion_tokens"] for result in results] == [1, 2]


async def test_a_batch_of_requests_is_canceled_with_its_jobs(client: ApiClient) -> None:
    slow = [entry("Slow. [[tokens=900]] [[rate=10]]") for _ in range(12)]
    made = (await client.call("POST", BATCHES, {"requests": [entry(), *slow]})).body
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await client.call("GET", f"{BATCHES}/{made['id']}")).body["processed"] < 1:
            await asyncio.sleep(0.02)
    canceled = await client.call("POST", f"{BATCHES}/{made['id']}/cancel")
    assert (canceled.status, canceled.body["status"]) == (200, "DONE")
    assert (canceled.body["processed"], canceled.body["failed"]) == (1, 12)
    assert [job["status"] for job in canceled.body["jobs"]] == ["PROCESSED"] + ["CANCELED"] * 12


async def test_four_endpoints_can_be_asked_in_batches_of_both_kinds(client: ApiClient) -> None:
    requests = [{"endpoint": path, "body": body} for path, body in BODIES.items()]
    made = (await client.call("POST", BATCHES, {"requests": requests})).body
    batch = await until(client, made["id"], "DONE")
    jobs = [(await client.call("GET", f"/v1/jobs/{job['id']}")).body for job in batch["jobs"]]
    assert [job["result"]["object"] for job in jobs] == KINDS
    assert jobs[3]["result"]["instructions"] == BODIES["/v1/responses"]["instructions"]

    async def answer_from_file(path: str) -> dict[str, Any]:
        asked = {"custom_id": path, "method": "POST", "url": path, "body": BODIES[path]}
        made = await made_of(client, await lines_uploaded(client, asked), endpoint=path)
        batch = await until(client, made["id"], "completed", "failed")
        [told] = await read(client, batch["output_file_id"])
        return dict(told["response"]["body"])

    answers = await asyncio.gather(*map(answer_from_file, BODIES))
    assert [answer["object"] for answer in answers] == KINDS
    assert answers[3]["instructions"] == BODIES["/v1/responses"]["instructions"]
    assert answers[3]["output"][0]["content"][0]["text"]


@pytest.mark.parametrize(
    ("order", "status", "kind", "field"),
    [
        ({"requests": [entry()] * 257}, 400, "too_large", "requests"),
        ({"requests": []}, 400, "invalid_request", "requests"),
        ({"requests": [entry(), {"endpoint": CHAT, "body": {}}]}, 400, "invalid_request", "requests[1].model"),
        ({"requests": [entry(), entry(messages=[])]}, 400, "invalid_request", "requests[1].messages"),
        ({"requests": [entry(), entry() | {"endpoint": "/v1/images"}]}, 400, "invalid_request", "requests[1].endpoint"),
        ({"requests": [entry(), entry(model="nobody")]}, 404, "no_provider", "requests[1].body.model"),
        ({"label": "empty"}, 400, "invalid_request", "input_file_id"),
        ({"input_file_id": "file-none", "endpoint": CHAT}, 404, "not_found", None),
        ({"input_file_id": "file-none", "endpoint": "/v1/images"}, 400, "invalid_request", "endpoint"),
        *(
            ({"input_file_id": "file-none", "endpoint": CHAT, "completion_window": window}, 400, "invalid_request", at)
            for window, at in [("24", WINDOW), ("0h", WINDOW), ("31d", WINDOW), (24, WINDOW), (None, WINDOW)]
        ),
        (
            {"input_file_id": "file-none", "endpoint": CHAT, "output_expires_after": {"seconds": 60}},
            *(400, "invalid_request", "output_expires_after.seconds"),
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
async def test_one_thing_that_is_wrong_refuses_a_whole_batch(
    client: ApiClient, order: dict[str, Any], status: int, kind: str, field: str | None
) -> None:
    answer = await client.call("POST", BATCHES, order)
    problem = answer.body["error"]
    assert (answer.status, problem["type"], problem["param"]) == (status, kind, field)
    assert answer.body["detail"] == problem["message"]
    assert (await client.call("GET", "/v1/jobs")).body["data"] == []
    assert (await client.call("GET", BATCHES)).body["data"] == []


async def test_lines_run_on_their_own_and_results_name_them(client: ApiClient) -> None:
    bad = [line(7, messages=[]), line(8, model="nobody")]
    file = await lines_uploaded(client, *(line(number) for number in range(7)), *bad)
    made = await made_of(client, file, metadata={"of": "nine"}, output_expires_after={"seconds": 3_600})
    assert (made["object"], made["status"], made["metadata"]) == ("batch", "validating", {"of": "nine"})
    batch = await until(client, made["id"], "completed", "failed")
    assert batch["request_counts"] == {"total": 9, "completed": 7, "failed": 2}
    assert (batch["usage"]["output_tokens"], "model" in batch) == (14, False)
    assert batch["in_progress_at"] <= batch["finalizing_at"] <= batch["completed_at"]
    for name in ("output_file_id", "error_file_id"):
        kept = (await client.call("GET", f"{FILES}/{batch[name]}")).body
        assert (kept["purpose"], kept["expires_at"] - kept["created_at"]) == ("batch_output", 3_600)
    answers, errors = await read(client, batch["output_file_id"]), await read(client, batch["error_file_id"])
    assert [each["custom_id"] for each in answers] == [f"line-{number}" for number in range(7)]
    assert {each["response"]["body"]["usage"]["completion_tokens"] for each in answers} == {2}
    told = [(each["custom_id"], each["response"]["status_code"], each["error"]) for each in errors]
    assert told == [("line-7", 400, None), ("line-8", 404, None)]
    assert (await client.call("GET", "/v1/jobs")).body["data"] == []


async def test_answers_of_any_size_are_written_down_whole_and_in_order(client: ApiClient) -> None:
    words = [1, 20, 20, 20, 20, 20, 20, 60, 1]
    said = [[{"role": "user", "content": f"Much. [[tokens={count}]] [[repeat=1500]]"}] for count in words]
    file = await lines_uploaded(client, *(line(number, messages=asked) for number, asked in enumerate(said)))
    batch = await until(client, (await made_of(client, file))["id"], "completed", "failed")
    answers = await read(client, batch["output_file_id"])
    assert [each["custom_id"] for each in answers] == [f"line-{number}" for number in range(len(words))]
    bodies = [each["response"]["body"] for each in answers]
    assert [body["usage"]["completion_tokens"] for body in bodies] == [1500 * count for count in words]
    lengths = [len(body["choices"][0]["message"]["content"]) for body in bodies]
    assert min(lengths[1:7]) > 100_000
    assert lengths[7] > 300_000


async def test_a_file_that_is_wrong_fails_its_batch_line_by_line(client: ApiClient) -> None:
    wrong = [line(1), line(1), line(2) | {"url": "/v1/embeddings"}, {"custom_id": "x"}, 5]
    made = await made_of(client, await lines_uploaded(client, *wrong))
    batch = await until(client, made["id"], "completed", "failed")
    assert batch["status"] == "failed"
    told = [(each["line"], each["code"]) for each in batch["errors"]["data"]]
    assert told == [
        (2, "duplicate_custom_id"),
        (3, "mismatched_endpoint"),
        (4, "invalid_request"),
        (5, "invalid_request"),
    ]
    assert batch["output_file_id"] is batch["error_file_id"] is None


async def test_canceling_a_batch_cancels_its_jobs_and_keeps_what_is_done(client: ApiClient) -> None:
    slow = [line(number) for number in range(2)] + [
        line(number, messages=[{"role": "user", "content": "Slow. [[tokens=600]] [[rate=10]]"}])
        for number in range(2, 30)
    ]
    made = await made_of(client, await lines_uploaded(client, *slow))
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await client.call("GET", f"{BATCHES}/{made['id']}")).body["request_counts"]["completed"] < 2:
            await asyncio.sleep(0.1)
    canceled = await client.call("POST", f"{BATCHES}/{made['id']}/cancel")
    assert (canceled.status, canceled.body["status"]) == (200, "cancelling")
    batch = await until(client, made["id"], "cancelled")
    assert batch["request_counts"] == {"total": 30, "completed": 2, "failed": 28}
    errors = await read(client, batch["error_file_id"])
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    again = await client.call("POST", f"{BATCHES}/{made['id']}/cancel")
    assert (again.status, again.body["status"]) == (200, "cancelled")


async def test_a_chat_does_not_wait_for_the_lines_of_its_own_account(batch_grid: Grid, client: ApiClient) -> None:
    waiting = [{"role": "user", "content": "Slow. [[tokens=10]] [[rate=20]]"}]
    made = await made_of(
        client, await lines_uploaded(client, *(line(number, messages=waiting) for number in range(90)))
    )
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await client.call("GET", f"{BATCHES}/{made['id']}")).body["request_counts"]["completed"] < 1:
            await asyncio.sleep(0.05)
    assert (await client.call("POST", CHAT, entry()["body"])).status == 200
    batch = (await client.call("POST", f"{BATCHES}/{made['id']}/cancel")).body
    assert batch["request_counts"]["completed"] < 60
    async with open_database(batch_grid.mongo.url_of("admin", batch_grid.database), batch_grid.database) as database:
        parent = ids.from_base32(made["id"].removeprefix("batch_"))
        assert await database["jobs"].distinct("lane", {"parent": parent}) == ["low"]
    await until(client, made["id"], "cancelled")


async def test_what_is_not_done_in_the_window_of_a_batch_expires(batch_grid: Grid, client: ApiClient) -> None:
    slow = [{"role": "user", "content": "Slow. [[tokens=900]] [[rate=10]]"}]
    file = await lines_uploaded(client, line(0), *(line(number, messages=slow) for number in range(1, 12)))
    made = await made_of(client, file)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await client.call("GET", f"{BATCHES}/{made['id']}")).body["request_counts"]["completed"] < 1:
            await asyncio.sleep(0.1)
    await expire(batch_grid, ids.from_base32(made["id"].removeprefix("batch_")))
    batch = await until(client, made["id"], "expired")
    assert batch["request_counts"] == {"total": 12, "completed": 1, "failed": 11}
    assert [each["custom_id"] for each in await read(client, batch["output_file_id"])] == ["line-0"]
    assert {each["error"]["code"] for each in await read(client, batch["error_file_id"])} == {"batch_expired"}


async def test_a_batch_whose_file_is_deleted_has_failed_and_its_jobs_end(batch_grid: Grid, client: ApiClient) -> None:
    slow = [{"role": "user", "content": "Slow. [[tokens=900]] [[rate=10]]"}]
    file = await lines_uploaded(client, *(line(number, messages=slow) for number in range(3)))
    made = await made_of(client, file)
    await until_put_back(batch_grid, ids.from_base32(made["id"].removeprefix("batch_")))
    assert (await client.call("DELETE", f"{FILES}/{file}")).body["deleted"] is True
    await client.call("POST", f"{BATCHES}/{made['id']}/cancel")
    batch = await until(client, made["id"], "failed")
    assert [each["code"] for each in batch["errors"]["data"]] == ["file_not_found"]
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 3}


async def test_lists_are_paged_in_both_directions(client: ApiClient) -> None:
    files = [await lines_uploaded(client, line(number)) for number in range(3)]
    batches = [(await client.call("POST", BATCHES, {"requests": [entry()]})).body["id"] for _ in range(3)]
    for path, made in ((FILES, files), (BATCHES, batches)):
        newest = made[::-1]
        first = (await client.call("GET", f"{path}?limit=2")).body
        assert [each["id"] for each in first["data"]] == newest[:2]
        assert (first["object"], first["has_more"]) == ("list", True)
        assert (first["first_id"], first["last_id"]) == (newest[0], newest[1])
        rest = (await client.call("GET", f"{path}?limit=2&after={first['last_id']}")).body
        assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (newest[2:], False)
        end = (await client.call("GET", f"{path}?after={newest[-1]}")).body
        assert (end["data"], end["has_more"], end["first_id"], end["last_id"]) == ([], False, None, None)
        for wrong in ("limit=0", "limit=10001", "limit=x"):
            assert (await client.call("GET", f"{path}?{wrong}")).status == 400
    oldest = (await client.call("GET", f"{FILES}?order=asc&limit=2")).body
    assert [each["id"] for each in oldest["data"]] == files[:2]
    assert (await client.call("GET", f"{FILES}?order=asc&purpose=batch_output")).body["data"] == []
    assert (await client.call("GET", f"{FILES}?order=up")).status == 400


async def test_what_is_sent_again_with_its_key_is_made_once(client: ApiClient) -> None:
    file = await lines_uploaded(client, line(1), key="file")
    assert await lines_uploaded(client, line(1), key="file") == file
    assert [each["id"] for each in (await client.call("GET", FILES)).body["data"]] == [file]
    for order in ({"input_file_id": file, "endpoint": CHAT}, {"requests": [entry(), entry()]}):
        made = [await client.call("POST", BATCHES, order, key=str(order)[:9]) for _ in range(2)]
        assert made[0].body["id"] == made[1].body["id"]
    assert len((await client.call("GET", BATCHES)).body["data"]) == 2
    assert len((await client.call("GET", "/v1/jobs")).body["data"]) == 2


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"nothing of a form", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=purpose\r\n\r\nbatch", 400),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="\x01"\r\n\r\n', 400),
    ],
)
async def test_what_is_no_upload_is_refused(client: ApiClient, content_type: str, content: bytes, status: int) -> None:
    headers = {"Content-Type": content_type}
    async with client.session.post(FILES, data=content, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["type"][:11]) == (status, REFUSALS[status])


async def test_what_is_one_accounts_is_not_another_ones(batch_grid: Grid, client: ApiClient) -> None:
    file = await lines_uploaded(client, line(1))
    batch = (await made_of(client, file))["id"]
    requests = (await client.call("POST", BATCHES, {"requests": [entry()]})).body["id"]
    async with batch_grid.client() as other:
        for method, path in (
            ("GET", f"{FILES}/{file}"),
            ("GET", f"{FILES}/{file}/content"),
            ("DELETE", f"{FILES}/{file}"),
            *(("GET", f"{BATCHES}/{one}") for one in (batch, requests)),
            *(("POST", f"{BATCHES}/{one}/cancel") for one in (batch, requests)),
            ("GET", f"{FILES}?after={file}"),
            ("GET", f"{BATCHES}?after={batch}"),
        ):
            answer = await other.call(method, path)
            assert (answer.status, answer.body["error"]["type"]) == (404, "not_found"), path
        order = {"input_file_id": file, "endpoint": CHAT}
        assert (await other.call("POST", BATCHES, order)).status == 404
        assert (await other.call("GET", FILES)).body["data"] == []
        assert (await other.call("GET", BATCHES)).body["data"] == []
    assert (await until(client, batch, "completed"))["request_counts"]["completed"] == 1
