"""The life of a job as a client of the native API sees it, through every real process."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from e2e.shelf import Shelf
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid

HANGING = "[[hang]]"
UNHURRIED = "[[tokens=3]] [[rate=50]]"


def facts_of(document: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(document.get(name) for name in names)


async def test_a_job_is_submitted_polled_and_answered(client: ApiClient) -> None:
    submitted = await client.call("POST", JOBS, {"model": "synthetic", "prompt": "[[tokens=7]] hello", "tag": "a"})
    document = await client.until(submitted.body["job_id"], "completed", "failed")

    assert (submitted.status, submitted.body["status"]) == (201, "pending")
    assert facts_of(document, "status", "model", "tag", "attempts") == ("completed", "synthetic", "a", 1)
    assert facts_of(document, "input_tokens", "output_tokens") == (2, 7)
    assert len(document["output"].split()) == 7
    times = [datetime.fromisoformat(document[f"{step}_at"]) for step in ("created", "claimed", "started", "completed")]
    assert times == sorted(times)


async def test_the_timeline_is_complete_and_numbered_without_gaps(client: ApiClient) -> None:
    job = await client.submit()
    document = await client.ended(job)
    timeline = await client.timeline(job)

    assert [event["type"] for event in timeline] == ["accepted", "assigned", "started", "finished"]
    assert [event["seq"] for event in timeline] == [1, 2, 3, 4]
    assert [event["at"] for event in timeline] == [
        document[f"{step}_at"] for step in ("created", "claimed", "started", "completed")
    ]
    assert timeline[1]["worker"] == timeline[2]["worker"] == timeline[3]["worker"]
    assert timeline[1]["why"]


async def test_a_listing_has_pages_newest_first_and_filters_by_tag_and_status(client: ApiClient, shelf: Shelf) -> None:
    tagged = [await client.submit(shelf.model, tag="tagged") for _ in range(26)]
    other = await client.submit(tag="other")
    await client.ended(other)

    first, second, done, pending = [
        (await client.call("GET", f"{JOBS}?{query}")).body
        for query in ("tag=tagged", "tag=tagged&page=2", "status=completed", "status=pending&tag=other")
    ]

    assert [row["job_id"] for row in first["jobs"] + second["jobs"]] == tagged[::-1]
    assert facts_of(first, "page", "per_page", "total", "total_pages") == (1, 25, 26, 2)
    assert [row["job_id"] for row in done["jobs"]] == [other]
    assert pending["jobs"] == []
    await client.call("DELETE", f"{JOBS}/cancel_all")


async def test_a_pending_job_is_canceled_and_reads_as_failed_and_canceled(client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(shelf.model)

    answer = await client.call("DELETE", f"{JOBS}/{job}")

    assert answer.status == 200
    assert facts_of(answer.body, "status", "cancelled", "error") == ("failed", True, "cancelled")
    assert (await client.call("DELETE", f"{JOBS}/{job}")).status == 409


async def test_a_running_job_is_no_pending_one_but_can_be_canceled(client: ApiClient) -> None:
    job = await client.submit(prompt=HANGING)
    await client.until(job, "running")

    refused = await client.call("DELETE", f"{JOBS}/{job}")
    canceled = await client.call("POST", f"{JOBS}/{job}/cancel")

    assert refused.status == 409
    assert facts_of(canceled.body, "status", "cancelled", "error") == ("failed", True, "cancelled")


async def test_cancel_all_takes_what_is_pending_and_nothing_else(client: ApiClient, shelf: Shelf, grid: Grid) -> None:
    running = await client.submit(prompt=HANGING)
    await client.until(running, "running")
    pending = [await client.submit(shelf.model) for _ in range(3)]
    async with grid.client() as neighbour:
        foreign = await neighbour.submit(shelf.model)

        answer = await client.call("DELETE", f"{JOBS}/cancel_all")

        assert answer.body == {"cancelled": 3}
        assert {(await client.job(job))["status"] for job in pending} == {"failed"}
        assert (await client.job(running))["status"] == "running"
        assert (await neighbour.job(foreign))["status"] == "pending"
        await neighbour.call("DELETE", f"{JOBS}/{foreign}")
    await client.call("POST", f"{JOBS}/{running}/cancel")


async def test_a_canceled_job_is_retried_under_its_id_and_completes(client: ApiClient, shelf: Shelf) -> None:
    job = await client.submit(shelf.model)
    await client.call("DELETE", f"{JOBS}/{job}")

    retried = await client.call("POST", f"{JOBS}/{job}/retry")
    shelf.resume()
    document = await client.ended(job)

    assert facts_of(retried.body, "job_id", "status", "cancelled", "error") == (job, "pending", None, None)
    assert facts_of(document, "status", "cancelled", "error") == ("completed", None, None)
    told = [event["type"] for event in await client.timeline(job)]
    assert told == ["accepted", "finished", "retried", "assigned", "started", "finished"]
    assert (await client.call("POST", f"{JOBS}/{job}/retry")).status == 409


async def test_the_engines_refusal_is_the_jobs_error_at_once(client: ApiClient) -> None:
    document = await client.ended(await client.submit(prompt="[[reject]]"))

    assert facts_of(document, "status", "attempts", "cancelled") == ("failed", 1, None)
    assert "refused" in document["error"]


async def test_a_change_of_priority_takes_effect_in_the_order_of_execution(client: ApiClient, shelf: Shelf) -> None:
    first, second, third = [await client.submit(shelf.model, UNHURRIED) for _ in range(3)]
    urgent = await client.submit(shelf.model, UNHURRIED, priority=5)

    raised = await client.call("PATCH", f"{JOBS}/{third}/priority", {"priority": 10})
    await client.call("PATCH", f"{JOBS}/{first}/priority", {"priority": -3})
    places = [(await client.job(job))["queue_position"] for job in (third, urgent, second, first)]
    shelf.resume()
    documents = await asyncio.gather(*map(client.ended, (first, second, third, urgent)))

    assert raised.body["priority"] == 10
    assert places == [1, 2, 3, 4]
    ran = sorted(documents, key=lambda document: document["started_at"])
    assert [document["job_id"] for document in ran] == [third, urgent, second, first]
    assert (await client.call("PATCH", f"{JOBS}/{first}/priority", {"priority": 1})).status == 409


async def test_a_timeout_runs_from_the_claim_and_reads_as_one(client: ApiClient, shelf: Shelf) -> None:
    waiting = await client.submit(shelf.model, timeout_seconds=1)
    job = await client.submit(prompt=HANGING, timeout_seconds=1)
    document = await client.ended(job)

    assert facts_of(document, "status", "cancelled", "error") == ("failed", True, "timeout")
    ran = datetime.fromisoformat(document["completed_at"]) - datetime.fromisoformat(document["claimed_at"])
    assert ran.total_seconds() >= 1
    assert (await client.job(waiting))["status"] == "pending"
    shelf.resume()
    assert (await client.ended(waiting))["status"] == "completed"


async def test_any_model_of_the_family_will_do_if_the_client_says_so(client: ApiClient, shelf: Shelf) -> None:
    shelf.resume()
    wish = {"model": "shelf:7b", "prompt": "hello"}

    exact = await client.call("POST", JOBS, wish)
    document = await client.ended(await client.submit(**wish, model_match="family"))

    assert exact.status == 422
    assert facts_of(document, "status", "model", "served_model") == ("completed", "shelf:7b", shelf.model)


async def test_the_models_tell_what_is_served_and_what_waits(client: ApiClient, shelf: Shelf) -> None:
    waiting = await client.submit(shelf.model)

    models = {model["name"]: model for model in (await client.call("GET", "/api/v1/models")).body}

    assert facts_of(models["synthetic"], "worker_count", "slots") == (1, 4)
    await client.call("DELETE", f"{JOBS}/{waiting}")
