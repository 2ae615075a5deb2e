"""Usage through every real process: what each ending costs, who may see it, and that the books are right."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from e2e.accounting import (
    USAGE_PATH,
    account_of,
    line_of,
    proof_of,
    rows_in_csv,
    start_counting,
    until_counted,
    usage_of,
)
from e2e.shelf import Shelf, open_shelf
from e2e.stack_commands import Command
from e2e.strangers import a_stranger
from gridloom_contract.quota import AssignPlan, Plan, PutPlan
from gridloom_contract.registry import ASSIGN_PLAN, GATEWAY, PUT_PLAN
from gridloom_contract.vocabulary import Usage
from gridloom_kit.bus import open_bus
from gridloom_kit.mongo import open_database
from gridloom_local.home import Home
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

TEN_WORDS = "[[tokens=10]] Say it in words"


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that counts at once."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("counting")) as opened:
        start_counting(opened)
        yield opened


@pytest.fixture
def command(grid: Grid, client: ApiClient, tmp_path: Path) -> Command:
    """The command of somebody who has the account's key and the operator's."""
    keys = {"GRIDLOOM_API_KEY": client.key, "GRIDLOOM_ADMIN_KEY": grid.admin_key}
    return Command(Home(tmp_path), more={"GRIDLOOM_URL": grid.url} | keys)


@pytest.fixture
async def other(grid: Grid) -> AsyncIterator[ApiClient]:
    """A client of another account."""
    async with grid.client() as other:
        yield other


async def ended(client: ApiClient, prompt: str = TEN_WORDS, **fields: Any) -> str:
    """Have one job done."""
    job = await client.submit(prompt=prompt, **fields)
    await client.ended(job)
    return job


async def put_on_plan(grid: Grid, account: str, plan: Plan) -> None:
    """Make a plan and put the account on it, as the gateway does."""
    async with open_bus(grid.nats.settings_of(GATEWAY), GATEWAY) as bus:
        await bus.request(PUT_PLAN, PutPlan(plan=plan))
        await bus.request(ASSIGN_PLAN, AssignPlan(account=account, plan=plan.name))


async def test_get_v1_usage_returns_token_usage_and_job_counts_grouped_by_day_and_tag(client: ApiClient) -> None:
    """seeds/000 §Usage Statistics."""
    for tag in ("alpha", "beta", "alpha"):
        await ended(client, tag=tag)

    statement = await until_counted(client, 3)

    today = datetime.now(UTC).date().isoformat()
    assert [(row["day"], row["tag"], row["jobs"]) for row in statement["usage"]] == [
        (today, "alpha", 2),
        (today, "beta", 1),
    ]
    assert [(row["input_tokens"], row["output_tokens"]) for row in statement["usage"]] == [(10, 20), (5, 10)]


async def test_your_current_quota_headroom_is_visible_at_get_v1_usage(grid: Grid, client: ApiClient) -> None:
    """seeds/000 §Token / Prompt Limits."""
    await put_on_plan(grid, account_of(grid, client), Plan(name="small", daily_tokens=1_000))

    quota = (await usage_of(client))["quota"]

    day = next(window for window in quota["windows"] if window["window"] == "day")
    assert (quota["plan"], day["limit"], day["remaining"]) == ("small", 1_000, 1_000)
    assert datetime.fromisoformat(day["resets_at"]) > datetime.now(UTC)


async def test_use_the_tag_field_to_track_usage_per_feature_or_project(client: ApiClient) -> None:
    """seeds/000 §Best Practices."""
    longest = "p" * 64
    await ended(client, tag=longest)
    await ended(client)
    await until_counted(client, 2)

    rows = (await usage_of(client, group_by="tag"))["usage"]

    assert [(row["tag"], row["jobs"]) for row in rows] == [(None, 1), (longest, 1)]


async def test_every_ending_is_counted_as_what_it_was(client: ApiClient) -> None:
    done, failed = await ended(client), await ended(client, "[[reject]]")
    canceled = await client.submit(prompt="[[hang]]")
    await client.until(canceled, "running")
    await client.call("POST", f"{JOBS}/{canceled}/cancel")

    statement = await until_counted(client, 3)

    total = statement["total"]
    assert (total["completed"], total["failed"], total["cancelled"]) == (1, 1, 1)
    assert (total["input_tokens"], total["output_tokens"], total["estimated_jobs"]) == (5, 10, 0)
    statuses = [(await line_of(client, job))["status"] for job in (done, failed, canceled)]
    assert statuses == ["completed", "failed", "cancelled"]


async def test_a_job_has_one_line_with_everything_about_it(client: ApiClient) -> None:
    job = await ended(client, tag="geography")

    line = await line_of(client, job)

    document = await client.job(job)
    assert (line["input_tokens"], line["output_tokens"]) == (document["input_tokens"], document["output_tokens"])
    assert (line["tag"], line["dialect"], line["model"]) == ("geography", "native", "synthetic")
    assert (line["endings"], line["ended_at"]) == (1, document["completed_at"])
    assert line["worker"].startswith("w")
    assert line["key"] == client.key.split("_")[1]
    assert 0 < line["engine_seconds"] < 10


async def test_a_retried_job_counts_once_for_each_ending_and_keeps_its_one_line(grid: Grid, client: ApiClient) -> None:
    shelf: Shelf = open_shelf(grid)
    shelf.drain()
    job = await client.submit(model=shelf.model, prompt=TEN_WORDS)
    await client.call("DELETE", f"{JOBS}/{job}")
    assert (await line_of(client, job))["status"] == "cancelled"

    await client.call("POST", f"{JOBS}/{job}/retry")
    shelf.resume()
    await client.ended(job)

    total = (await until_counted(client, 2))["total"]
    line = await line_of(client, job)
    assert (total["jobs"], total["completed"], total["cancelled"]) == (2, 1, 1)
    assert (line["endings"], line["status"], line["output_tokens"]) == (2, "completed", 10)


async def test_csv_says_what_json_says(client: ApiClient) -> None:
    for tag in ("alpha", 'be"ta, or gamma', None):
        await ended(client, tag=tag)
    await until_counted(client, 3)

    statement, rows = await usage_of(client), await rows_in_csv(client)

    spelled = [{name: "" if value is None else str(value) for name, value in row.items()} for row in statement["usage"]]
    assert rows == spelled


@pytest.mark.parametrize(
    ("accepted", "media"),
    [
        ("text/csv", "text/csv"),
        ("text/csv, application/json", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("*/*", "application/json"),
    ],
)
async def test_who_accepts_csv_first_gets_csv(client: ApiClient, accepted: str, media: str) -> None:
    async with client.session.get(USAGE_PATH, headers={"Accept": accepted}) as answer:
        assert (answer.status, answer.content_type) == (200, media)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"from": "20260101"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"to": ""}, "to"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "to"),
        ({"group_by": "day,account"}, "group_by"),
        ({"group_by": "x" * 200}, "group_by"),
        ({"format": "xml"}, "format"),
    ],
)
async def test_a_wrong_question_names_its_field(client: ApiClient, query: dict[str, str], field: str) -> None:
    answer = await client.call("GET", USAGE_PATH, params=query)

    assert (answer.status, answer.body["field"]) == (422, field)


async def test_a_period_and_other_groups_can_be_asked_for(client: ApiClient) -> None:
    await ended(client)
    await until_counted(client, 1)

    by_model = await usage_of(client, group_by="model,key")
    long_ago = await usage_of(client, **{"from": "2020-01-01", "to": "2020-01-31"})
    in_total = await usage_of(client, group_by="")

    kid = client.key.split("_")[1]
    assert [(row["model"], row["key"], row["jobs"]) for row in by_model["usage"]] == [("synthetic", kid, 1)]
    assert (long_ago["usage"], long_ago["total"]["jobs"]) == ([], 0)
    assert [row["jobs"] for row in in_total["usage"]] == [1]


async def test_accounts_never_see_each_other(client: ApiClient, other: ApiClient) -> None:
    job = await ended(client, tag="secret")
    await line_of(client, job)

    theirs = await usage_of(other)
    foreign = await other.call("GET", f"{JOBS}/{job}/usage")
    unknown = await other.call("GET", f"{JOBS}/00000000-0000-7000-8000-000000000000/usage")

    assert (theirs["usage"], theirs["total"]["jobs"]) == ([], 0)
    assert (foreign.status, unknown.status) == (404, 404)
    assert foreign.body["message"] == unknown.body["message"]


async def test_the_operator_sees_the_usage_of_any_account(grid: Grid, client: ApiClient) -> None:
    await ended(client)
    own = await until_counted(client, 1)

    seen = grid.ask("GET", f"/admin/v1/accounts/{account_of(grid, client)}/usage")

    assert seen["usage"] == own["usage"]


async def test_a_worker_that_lies_about_its_tokens_costs_nobody_more_than_an_estimate(
    grid: Grid, client: ApiClient
) -> None:
    async with a_stranger(grid, "liar:1b") as liar:
        job = await client.submit(model="liar:1b", prompt="Say hello to everybody here")
        order = await liar.next_order()
        await liar.end(order, output="Hello!", usage=Usage(tokens_in=0, tokens_out=10**9))

    line = await line_of(client, job)

    assert (line["input_tokens"], line["output_tokens"], line["estimated"]) == (7, 2, True)
    assert (await usage_of(client))["total"]["estimated_jobs"] == 1


async def test_the_books_are_right(grid: Grid, client: ApiClient) -> None:
    await ended(client)
    await until_counted(client, 1)

    proof = proof_of(grid)

    assert proof == {"is_clean": True, "checked": proof["checked"], "differences": []}
    assert proof["checked"] > 1


async def test_the_command_draws_what_the_api_says(grid: Grid, client: ApiClient, command: Command) -> None:
    job = await ended(client, tag="alpha")
    await ended(client, tag="beta")
    statement = await until_counted(client, 2)
    account = account_of(grid, client)

    shown, as_json, as_csv, line, seen, by_tag = await asyncio.to_thread(
        lambda: (
            command.succeed("usage"),
            command.succeed("usage", "--json"),
            command.succeed("usage", "--csv"),
            command.succeed("usage", "job", job),
            command.succeed("usage", "--account", account, "--json"),
            command.succeed("usage", "--from", statement["from"], "--to", statement["to"], "--group-by", "tag"),
        )
    )

    today = statement["usage"][0]["day"]
    assert re.search(rf"{today} +alpha +1 +1 +0 +0 +5 +10 +0", shown)
    assert re.search(r"total +- +2 +2 +0 +0 +10 +20 +0", shown)
    assert re.search(rf"{today} +█+ +30", shown)
    assert re.search(r"day +\d+ +\d+ +none +- +\d{4}-\d\d-\d\d 00:00:00", shown)
    assert msgspec.json.decode(as_json) == msgspec.json.decode(seen) == statement
    assert list(csv.DictReader(io.StringIO(as_csv))) == await rows_in_csv(client)
    assert re.search(r"5 +10 +w\w+ +alpha +native +engine", line)
    assert re.search(r"alpha +█+ +15\s+beta +█+ +15", by_tag)


async def test_the_command_proves_the_books_and_names_the_first_difference(
    grid: Grid, client: ApiClient, command: Command
) -> None:
    job = await ended(client)
    await line_of(client, job)
    clean = await asyncio.to_thread(lambda: command.run("usage", "verify"))

    url = grid.mongo.url_of("admin", grid.database)
    async with open_database(url, grid.database) as database:
        await database["ledger"].update_one({"_id": UUID(job).hex}, {"$set": {"entries.0.tokens_out": 11}})
        wrong = await asyncio.to_thread(lambda: command.run("usage", "verify"))
        told = await asyncio.to_thread(lambda: command.run("usage", "verify", "--json"))
        await database["ledger"].update_one({"_id": UUID(job).hex}, {"$set": {"entries.0.tokens_out": 10}})

    assert (clean.returncode, wrong.returncode, told.returncode) == (0, 1, 1)
    assert "no difference" in clean.stdout
    assert f"job {UUID(job).hex}" in wrong.stderr
    assert msgspec.json.decode(told.stdout)["is_clean"] is False


async def test_the_command_refuses_two_forms_at_once(command: Command) -> None:
    done = await asyncio.to_thread(lambda: command.run("usage", "--csv", "--json"))

    assert done.returncode == 2
