"""The native API sentence by sentence (seeds/000; API.md §1.1 and §6, item 3), through every real process.

Each test is named after the sentence that it proves. What a sentence says of order, time, faults and files at length is
proved in the modules about those: jobs, streams, webhooks, blobs, usage, isolation.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from e2e.shelf import Shelf, open_shelf
from e2e.strangers import a_stranger
from e2e.uploads import BLOBS, PNG, confirmation, slot_for, uploaded
from gridloom_contract.registry import BLOB, WORKER
from gridloom_domain import ids
from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

HANGING = "[[hang]]"
BODY = {"model": "synthetic", "prompt": "Say hello"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with everything that the routes of this module need."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("native")) as opened:
        opened.start_all(BLOB)
        yield opened


@pytest.fixture(scope="module")
def shelf(grid: Grid) -> Shelf:
    """A drained worker: what is submitted for its model waits."""
    shelf = open_shelf(grid)
    shelf.drain()
    return shelf


@pytest.fixture
async def refused(client: ApiClient) -> Any:
    """Submits with one field changed, and returns status, error and field of the refusal."""

    async def submit(**change: Any) -> tuple[int, str, str | None]:
        wish = {name: value for name, value in (BODY | change).items() if value is not ...}
        answer = await client.call("POST", JOBS, wish)
        return answer.status, answer.body.get("error", ""), answer.body.get("field")

    return submit


def on_a_plan(grid: Grid, client: ApiClient, **terms: Any) -> None:
    """Put the client's account on a plan of its own."""
    kid = client.key.split("_")[1]
    for account in grid.ask("GET", "/admin/v1/accounts?per_page=500")["accounts"]:
        if kid in str(grid.ask("GET", f"/admin/v1/accounts/{account['id']}/keys")):
            grid.ask("POST", "/admin/v1/plans", {"name": kid} | terms)
            grid.ask("PUT", f"/admin/v1/accounts/{account['id']}/plan", {"plan": kid})


async def refusals(client: ApiClient, *calls: tuple[str, str, Any]) -> list[tuple[int, str]]:
    answers = [await client.call(method, path, body) for method, path, body in calls]
    return [(answer.status, answer.body["error"]) for answer in answers]


async def test_post_jobs_answers_201_with_job_id_status_pending_and_created_at(client: ApiClient) -> None:
    answer = await client.call("POST", JOBS, BODY)

    assert answer.status == 201
    assert set(answer.body) == {"job_id", "id", "status", "created_at"}
    assert answer.body["job_id"] == answer.body["id"] == str(UUID(answer.body["id"]))
    assert answer.body["status"] == "pending"
    assert MOMENT.fullmatch(answer.body["created_at"])


async def test_missing_model_or_prompt_is_422(refused: Any) -> None:
    assert await refused(model=...) == (422, "invalid", "model")
    assert await refused(prompt=...) == (422, "invalid", "prompt")


async def test_an_unsupported_model_is_422(refused: Any) -> None:
    assert await refused(model="never-heard-of:7b") == (422, "unknown_model", "model")


async def test_a_known_model_that_is_offline_is_201_pending(grid: Grid, client: ApiClient) -> None:
    worker = grid.start(WORKER, grid.enrol(), models="gone:1b")
    await grid.until_ready()
    await asyncio.to_thread(worker.kill)
    async with asyncio.timeout(20):
        while "gone:1b" in [model["name"] for model in (await client.call("GET", "/api/v1/models")).body]:
            await asyncio.sleep(0.1)

    answer = await client.call("POST", JOBS, BODY | {"model": "gone:1b"})

    assert (answer.status, answer.body["status"]) == (201, "pending")
    assert (await client.job(answer.body["job_id"]))["status"] == "pending"


async def test_model_match_is_exact_when_omitted_or_family_and_nothing_else(client: ApiClient, refused: Any) -> None:
    jobs = [await client.submit(), await client.submit(model_match="exact"), await client.submit(model_match="family")]

    assert [(await client.job(job))["model_match"] for job in jobs] == ["exact", "exact", "family"]
    assert await refused(model_match="similar") == (422, "invalid", "model_match")


async def test_a_tag_has_at_most_64_characters(client: ApiClient, refused: Any) -> None:
    job = await client.submit(tag="é" * 64)

    assert (await client.job(job))["tag"] == "é" * 64
    assert await refused(tag="x" * 65) == (422, "invalid", "tag")


async def test_priority_is_the_subscriptions_boost_when_omitted(grid: Grid, client: ApiClient) -> None:
    on_a_plan(grid, client, priority_boost=7)

    jobs = [await client.submit(), await client.submit(priority=0), await client.submit(priority=-3)]

    assert [(await client.job(job))["priority"] for job in jobs] == [7, 0, -3]


async def test_timeout_seconds_is_600_when_omitted_and_at_least_1(client: ApiClient, refused: Any) -> None:
    jobs = [await client.submit(), await client.submit(timeout_seconds=1)]

    assert [(await client.job(job))["timeout_seconds"] for job in jobs] == [600, 1]
    assert await refused(timeout_seconds=0) == (422, "invalid", "timeout_seconds")


WRONG_TYPES = {"model": 7, "prompt": ["a"], "model_match": 1, "tag": {}, "webhook_url": "nonsense", "priority": "high"}


async def test_wrong_types_are_422_and_name_their_field(refused: Any) -> None:
    assert {name: await refused(**{name: wrong}) for name, wrong in WRONG_TYPES.items()} == {
        name: (422, "invalid", name) for name in WRONG_TYPES
    }


async def test_quota_never_blocks_submission_it_only_pauses_processing(grid: Grid, client: ApiClient) -> None:
    on_a_plan(grid, client, daily_tokens=0)

    answer = await client.call("POST", JOBS, BODY)

    assert (answer.status, answer.body["status"]) == (201, "pending")
    document = await client.until(answer.body["job_id"], "pending")
    async with asyncio.timeout(10):
        while document.get("waiting_for") != "quota":
            document = await client.job(answer.body["job_id"])
    assert document["status"] == "pending"


async def test_a_completed_job_has_its_output_its_tokens_and_its_times(client: ApiClient) -> None:
    document = await client.ended(await client.submit())

    assert document["job_id"] == document["id"]
    assert (document["status"], document["model"], document["served_model"]) == ("completed", *["synthetic"] * 2)
    kinds = {"output": str, "output_tokens": int, "input_tokens": int, "duration_ms": int, "finish_reason": str}
    assert {name: type(document[name]) for name in kinds} == kinds
    times = [document[f"{step}_at"] for step in ("created", "claimed", "started", "completed")]
    assert all(MOMENT.fullmatch(time) for time in times)


async def test_statuses_are_pending_claimed_running_completed_and_failed(
    grid: Grid, client: ApiClient, shelf: Shelf
) -> None:
    async with a_stranger(grid, "quiet:1b"):
        pending = await client.submit(shelf.model)
        claimed = await client.submit("quiet:1b")
        running = await client.submit(prompt=HANGING)
        ended = [await client.submit(), await client.submit(prompt="[[reject]]")]
        await client.until(claimed, "claimed")
        await client.until(running, "running")
        documents = [await client.ended(job) for job in ended]
        listed = {
            status: [row["id"] for row in (await client.call("GET", f"{JOBS}?status={status}")).body["jobs"]]
            for status in ("pending", "claimed", "running", "completed", "failed", "cancelled")
        }

        assert [document["status"] for document in documents] == ["completed", "failed"]
        assert list(listed.values()) == [[pending], [claimed], [running], [ended[0]], [ended[1]], []]
        for job in (pending, claimed, running):
            await client.call("POST", f"{JOBS}/{job}/cancel")


async def test_status_cancelled_is_accepted_as_a_filter_although_it_reads_failed(
    client: ApiClient, shelf: Shelf
) -> None:
    job = await client.submit(shelf.model)
    await client.call("DELETE", f"{JOBS}/{job}")

    for word in ("cancelled", "canceled", "failed"):
        [row] = (await client.call("GET", f"{JOBS}?status={word}")).body["jobs"]
        assert (row["id"], row["status"], row["cancelled"], row["error"]) == (job, "failed", True, "cancelled")


async def test_the_list_is_an_envelope_and_a_page_beyond_the_end_is_empty(client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(shelf.model)

    first, beyond = [(await client.call("GET", f"{JOBS}?page={page}")).body for page in (1, 2)]

    rest = {"per_page": 25, "total": 1, "total_pages": 1}
    assert [row["job_id"] for row in first["jobs"]] == [row["id"] for row in first["jobs"]] == [job]
    assert first == {"jobs": first["jobs"], "page": 1} | rest
    assert beyond == {"jobs": [], "page": 2} | rest
    await client.call("DELETE", f"{JOBS}/{job}")


async def test_retry_is_for_a_failed_job_only_and_keeps_its_id(client: ApiClient, shelf: Shelf) -> None:
    failed, completed = await client.submit(prompt="[[reject]]"), await client.submit()
    pending, running = await client.submit(shelf.model), await client.submit(prompt=HANGING)
    await asyncio.gather(client.ended(failed), client.ended(completed), client.until(running, "running"))

    answer = await client.call("POST", f"{JOBS}/{failed}/retry")
    others = await refusals(client, *(("POST", f"{JOBS}/{job}/retry", None) for job in (completed, pending, running)))

    assert (answer.status, answer.body["job_id"], answer.body["status"]) == (200, failed, "pending")
    assert others == [(409, "conflict")] * 3
    for job in (pending, running):
        await client.call("POST", f"{JOBS}/{job}/cancel")


async def test_patch_priority_is_positive_to_increase_and_negative_to_decrease(client: ApiClient, shelf: Shelf) -> None:
    path = f"{JOBS}/{await client.submit(shelf.model, priority=2)}/priority"

    answers = [await client.call("PATCH", path, {"priority": by}) for by in (10, -15)]
    wrong = await refusals(client, *(("PATCH", path, body) for body in ({}, {"priority": "high"}, {"priority": 1.5})))

    assert [(answer.status, answer.body["priority"]) for answer in answers] == [(200, 12), (200, -3)]
    assert wrong == [(422, "invalid")] * 3
    await client.call("DELETE", f"{JOBS}/cancel_all")


async def test_models_is_a_bare_array_each_with_its_worker_count(client: ApiClient) -> None:
    answer = await client.call("GET", "/api/v1/models")
    [model] = [each for each in answer.body if each["name"] == "synthetic"]

    assert (answer.status, type(answer.body)) == (200, list)
    assert model["worker_count"] == 1
    assert model["id"] == model["name"] == model["model"]


async def test_post_blobs_answers_201_with_blob_id_upload_url_and_900_seconds(client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(shelf.model)
    slot = await slot_for(client, job)

    assert slot.status == 201
    assert set(slot.body) == {"blob_id", "upload_url", "expires_in"}
    assert (slot.body["blob_id"], slot.body["expires_in"]) == (str(UUID(slot.body["blob_id"])), 900)
    assert await refusals(
        client,
        ("POST", BLOBS, {}),
        ("POST", BLOBS, {"job_id": job, "blob_type": "video"}),
        ("POST", BLOBS, {"job_id": ids.as_uuid(a_job_id())}),
    ) == [(422, "invalid"), (422, "invalid"), (404, "not_found")]
    await client.call("DELETE", f"{JOBS}/{job}")


async def test_the_upload_needs_no_auth_header_and_confirm_answers_confirmed(client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(shelf.model)
    slot = await uploaded(client, job, PNG)

    confirmed = await confirmation(client, slot)

    assert (confirmed.status, confirmed.body["status"]) == (200, "confirmed")
    await client.call("DELETE", f"{JOBS}/{job}")


async def test_the_version_may_be_doubled_and_a_slash_may_follow(client: ApiClient) -> None:
    for mount in ("/api/v1", "/api/v1/v1", "/vibe/api/v1", "/vibe/api/v1/v1"):
        assert [(await client.call("POST", f"{mount}/jobs{slash}", BODY)).status for slash in ("", "/")] == [201, 201]


async def test_every_refusal_is_an_error_a_message_and_a_request_id(grid: Grid, client: ApiClient) -> None:
    unknown = f"{JOBS}/{ids.as_uuid(a_job_id())}"
    done = f"{JOBS}/{await client.submit()}"
    await client.ended(done.removeprefix(f"{JOBS}/"))
    calls = {
        ("GET", unknown, None): (404, "not_found"),
        ("GET", f"{JOBS}/12345", None): (404, "not_found"),
        ("DELETE", done, None): (409, "conflict"),
        ("POST", JOBS, ()): (422, "invalid"),
        ("GET", "/api/v1/nothing", None): (404, "not_found"),
        ("PUT", JOBS, None): (405, "method_not_allowed"),
        ("GET", f"{JOBS}?api_key={client.key}", None): (401, "unauthenticated"),
        ("GET", "/api/v1/usage", None): (503, "unavailable"),
    }
    for (method, path, body), expected in calls.items():
        answer = await client.call(method, path, body)
        assert (answer.status, answer.body["error"]) == expected, (method, path)
        assert answer.body["message"]
        assert answer.body["request_id"] in answer.headers.values()
