"""The gateway process with the real scheduler and a real worker: what the scripted one only plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gridloom_testing.builders import a_job_id
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid
from integration.gateway.raw import head, wire_to
from integration.gateway.reading import reading

SLOW = "[[tokens=2000]] [[rate=50]] Say hello"


@pytest.fixture
async def account(grid: Grid) -> AsyncIterator[ApiClient]:
    """A client of a new account."""
    async with grid.client() as client:
        yield client


async def test_a_job_runs_and_every_reader_has_the_same_text(account: ApiClient) -> None:
    name = await account.submit(prompt="[[tokens=30]] [[rate=200]] Say hello")

    async with reading(account, name) as early:
        document = await early.until_done()
    async with reading(account, name) as late:
        await late.until_done()

    assert (document["status"], document["output_tokens"]) == ("completed", 30)
    assert early.text == late.text == document["output"]
    assert early.resets == 0
    assert [event["type"] for event in await account.timeline(name)] == ["accepted", "assigned", "started", "finished"]


async def test_a_reader_resumes_in_the_middle(account: ApiClient) -> None:
    name = await account.submit(prompt="[[tokens=100]] [[rate=100]] Say hello")
    async with reading(account, name) as first:
        while len(first.text) < 40:
            await first.next()

    async with reading(account, name, first.last_id) as second:
        document = await second.until_done()

    assert first.text + second.text == document["output"]
    assert second.resets == 0


async def test_a_model_that_nobody_ever_offered_is_refused(account: ApiClient) -> None:
    answer = await account.call("POST", JOBS, {"model": "nonsense", "prompt": "p"})

    assert (answer.status, answer.body["error"]) == (422, "unknown_model")


async def test_a_running_job_is_stopped_and_run_again(account: ApiClient) -> None:
    name = await account.submit(prompt=SLOW)
    async with reading(account, name) as reader:
        while not reader.text:
            await reader.next()
        refused = await account.call("DELETE", f"{JOBS}/{name}")
        stopped = await account.call("POST", f"{JOBS}/{name}/cancel")
        document = await reader.until_done()
    again = await account.call("POST", f"{JOBS}/{name}/retry")
    await account.call("POST", f"{JOBS}/{name}/cancel")

    assert (refused.status, stopped.status) == (409, 200)
    assert (document["status"], document["cancelled"], document["error"]) == ("failed", True, "cancelled")
    assert (again.status, again.body["status"]) == (200, "pending")


async def test_waiting_jobs_have_a_place_and_are_canceled_together(account: ApiClient) -> None:
    names = [await account.submit(prompt=SLOW, tag="many") for _ in range(12)]
    page = (await account.call("GET", f"{JOBS}?status=pending&tag=many")).body
    waiting = [job["job_id"] for job in page["jobs"]]
    shown = await account.job(waiting[0])
    raised = await account.call("PATCH", f"{JOBS}/{waiting[0]}/priority", {"priority": 5})

    canceled = await account.call("DELETE", f"{JOBS}/cancel_all")

    assert set(waiting) < set(names)
    assert shown["queue_position"] >= 1
    assert raised.body["priority"] == 5
    assert 1 <= canceled.body["cancelled"] <= len(waiting)
    for name in names:
        await account.call("POST", f"{JOBS}/{name}/cancel")


async def test_strangers_find_nothing(grid: Grid, account: ApiClient) -> None:
    name = await account.submit(prompt="[[tokens=1]] Say hello")
    routes = [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/retry"),
        ("POST", "/cancel"),
        ("GET", "/stream"),
        ("GET", "/timeline"),
    ]
    async with grid.client() as stranger:
        for method, path in (*routes, ("PATCH", "/priority")):
            body = {"priority": 1} if method == "PATCH" else None
            answers = [await stranger.call(method, f"{JOBS}/{one}{path}", body) for one in (name, _unknown())]

            assert [(one.status, one.body["message"]) for one in answers] == [(404, "there is no such job")] * 2


def _unknown() -> str:
    job = a_job_id()
    return "-".join((job[:8], job[8:12], job[12:16], job[16:20], job[20:]))


async def test_two_hundred_submissions_at_once_are_all_there(account: ApiClient) -> None:
    names = await asyncio.gather(*(account.submit(prompt="[[tokens=1]] x", tag="burst") for _ in range(200)))
    page = (await account.call("GET", f"{JOBS}?tag=burst")).body

    assert page["total"] == len(set(names)) == 200


async def test_the_process_cuts_off_who_is_too_slow(grid: Grid) -> None:
    key = grid.new_key()
    async with wire_to(grid.url) as wire:
        await wire.send(b"\x00\x01\x02\r\n\r\n")
        assert (await wire.answer()).status == 400
    async with wire_to(grid.url) as wire:
        await wire.send(head(key, method="GET", path="/api/v1/nothing"))
        answer = await wire.answer()

    assert answer.status == 404
    assert "server" not in answer.headers
