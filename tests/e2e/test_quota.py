"""Quotas through every real process: never refused, never overdrawn, and started again by themselves."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from e2e.quotas import TEN_WORDS, Customer, a_customer, proven, start_metered
from e2e.stack_commands import GRIDLOOM
from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_kit.clock import SystemClock
from gridloom_kit.run import live
from gridloom_quota.service import build
from gridloom_quota.settings import Settings
from gridloom_testing.clients import JOBS
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

PROMPTLY = 2.0
PATIENCE = 20.0


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with two schedulers and four workers."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("quota")) as opened:
        start_metered(opened, schedulers=2)
        for _ in range(4):
            opened.start(WORKER, opened.enrol())
        opened.wait_until_ready()
        yield opened


@pytest.fixture
async def customer(grid: Grid) -> AsyncIterator[Customer]:
    """An account that may use nothing."""
    async with a_customer(grid, daily_tokens=0) as customer:
        yield customer


async def test_over_quota_a_job_is_accepted_and_stays_pending_and_says_until_when(customer: Customer) -> None:
    """seeds/000 §Token / Prompt Limits."""
    [job] = await customer.submit(1)
    [held] = await customer.until_held([job])
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert (held["status"], held["waiting_for"]) == ("pending", "quota")
    assert held["held_until"] == f"{tomorrow}T00:00:00.000Z"
    [listed] = (await customer.client.call("GET", JOBS)).body["jobs"]
    assert (listed["waiting_for"], listed["held_until"]) == (held["waiting_for"], held["held_until"])
    [fact] = [fact for fact in await customer.client.timeline(job) if fact["type"] == "held"]
    assert (fact["reason"], fact["until"]) == ("quota", held["held_until"])


async def test_a_raised_plan_starts_what_was_held_within_two_seconds(customer: Customer) -> None:
    jobs = await customer.submit(20)
    await customer.until_held(jobs)
    await customer.allow(daily_tokens=1_000_000)
    await customer.until_completed(1, within_seconds=PROMPTLY)
    await customer.until_completed(20)


async def test_so_does_another_plan(grid: Grid, customer: Customer) -> None:
    jobs = await customer.submit(5)
    await customer.until_held(jobs)
    path = f"/admin/v1/accounts/{customer.account}/plan"
    await asyncio.to_thread(grid.ask, "PUT", path, {"plan": "default"})
    await customer.until_completed(5, within_seconds=PROMPTLY)


async def test_whoever_waits_for_an_answer_is_told_at_once_that_none_can_come(customer: Customer) -> None:
    """Here a call waits for a minute while nobody is free. API.md §4.1: what a stream says that has begun already."""
    messages = [{"role": "user", "content": TEN_WORDS}]
    wish = {"model": "synthetic", "messages": messages}
    async with asyncio.timeout(20):
        answer = await customer.client.call("POST", "/v1/chat/completions", wish)
        async with customer.client.session.post("/infernet/api/v1/jobs", json=wish | {"stream": True}) as stream:
            said = await stream.text()
    [held] = await customer.until_held(await customer.submit(1))

    assert (answer.status, answer.body["error"]["type"]) == (429, "rate_limit_exceeded")
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert '"error":"rate_limited"' in said
    assert said.endswith("data: [DONE]\n\n")
    assert held["status"] == "pending"


async def test_a_held_job_may_be_canceled(customer: Customer) -> None:
    [job] = await customer.submit(1)
    await customer.until_held([job])
    answer = await customer.client.call("DELETE", f"{JOBS}/{job}")
    assert (answer.body["status"], answer.body["cancelled"]) == ("failed", True)


async def test_two_schedulers_never_overdraw_a_small_quota_and_the_books_are_right(
    grid: Grid, customer: Customer
) -> None:
    await customer.allow(daily_tokens=3_000)
    async with customer.watched():
        jobs = await customer.submit(300)
        held = await customer.until_held(jobs)
        few = await customer.settled(jobs)
    assert customer.passed == []
    assert 0 < len(held) < 300
    assert 0 < few["used"] <= 3_000
    await proven(grid)

    async with customer.watched():
        await customer.allow(daily_tokens=6_000)
        await customer.until_completed(300)
    await customer.settled(jobs)
    assert customer.passed == []
    assert await proven(grid) > 0


async def test_no_more_jobs_run_at_once_than_the_plan_allows(customer: Customer) -> None:
    await customer.allow(max_parallel_jobs=2)
    jobs = await customer.submit(30, "[[tokens=5]] [[rate=100]]")
    await customer.until_completed(30)
    spans = [(each["claimed_at"], each["completed_at"]) for each in await customer.documents(jobs)]
    assert max(sum(start <= at < end for start, end in spans) for at, _ in spans) == 2


async def test_others_do_not_notice_an_account_over_quota(grid: Grid, customer: Customer) -> None:
    await customer.submit(400)
    async with grid.client() as other:
        for _ in range(5):
            await other.ended(await other.submit(prompt=TEN_WORDS), within_seconds=5)


async def test_the_command_sets_plans_shows_them_and_proves_the_books(grid: Grid, customer: Customer) -> None:
    environment = {"GRIDLOOM_URL": grid.url, "GRIDLOOM_ADMIN_KEY": grid.admin_key, "PATH": ""}

    async def gridloom(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [str(GRIDLOOM), *arguments]
        return await asyncio.to_thread(
            subprocess.run, line, env=environment, capture_output=True, text=True, check=True
        )

    made = await gridloom("plans", "create", "team", "--daily", "500", "--rate", "native=60", "--max-parallel", "2")
    changed = await gridloom("plans", "set", "team", "--daily", "none", "--priority", "3", "--json")
    assigned = await gridloom("plans", "assign", customer.account, "team")
    proof = await gridloom("quota", "verify")

    assert "native 60/min" in made.stdout
    assert '"daily_tokens": null' in changed.stdout
    assert '"max_parallel_jobs": 2' in changed.stdout
    assert "Plan team" in assigned.stdout
    assert "no difference" in proof.stdout


class ShiftedClock(SystemClock):
    """The clock of this machine, put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@asynccontextmanager
async def quota_in_this_process(grid: Grid, clock: ShiftedClock) -> AsyncIterator[None]:
    """Run the quota service of a grid here, where its clock can be turned."""
    login = grid.nats.settings_of(QUOTA)
    settings = Settings(
        nats_url=login.nats_url,
        nats_user=login.nats_user,
        nats_password=login.nats_password,
        mongo_url=grid.mongo.url_of(QUOTA, grid.database),
        mongo_database=grid.database,
        stop_grace_seconds=2.0,
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(live(partial(build, clock=clock), settings, QUOTA, stop))
        await until_plans_are_told(grid)
        yield
        stop.set()


async def until_plans_are_told(grid: Grid) -> None:
    """Return once a quota service answers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(AssertionError):
                await asyncio.to_thread(grid.ask, "GET", "/admin/v1/plans")
                return
            await asyncio.sleep(0.02)


async def test_when_the_window_turns_held_jobs_start_within_two_seconds(own_grid: Grid) -> None:
    clock = ShiftedClock()
    for service in (SCHEDULER, GATEWAY):
        own_grid.start(service)
    await own_grid.until_ready()
    async with quota_in_this_process(own_grid, clock):
        own_grid.start(WORKER, own_grid.enrol())
        await own_grid.until_ready()
        async with a_customer(own_grid, daily_tokens=300) as customer:
            jobs = await customer.submit(60)
            held = await customer.until_held(jobs)
            await customer.until(reserved=0)
            done = await customer.completed()
            clock.ahead = timedelta(days=1)
            await customer.until_completed(done + 1, within_seconds=PROMPTLY)
    assert held
