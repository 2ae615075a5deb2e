"""Prompts and answers of many megabytes, through every real process and a real S3: byte by byte, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest

from gridloom_contract.jobs import MAX_INLINE_BYTES, Task
from gridloom_contract.registry import BLOB, GATEWAY, SCHEDULER, WORKER
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from gridloom_worker.engines.synthetic import repeated, word
from integration.gateway.reading import reading

MEGABYTE = 1_000_000
WRAPPING = len(msgspec.json.encode(Task(prompt="")))


@pytest.fixture(scope="module")
def large_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with a blob service and an S3 of its own, which a test may break and must mend."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("grid")) as opened:
        opened.start_all(BLOB)
        yield opened


@pytest.fixture
async def client(large_grid: Grid) -> AsyncIterator[ApiClient]:
    """A client of a new account."""
    async with large_grid.client() as client:
        yield client


def answer_to(prompt: str, tokens: int, repeat: int) -> str:
    """Return what the synthetic engine says to exactly this prompt."""
    seed = crc32(prompt.encode())
    return "".join(repeated(word(seed, index), repeat) for index in range(tokens))


def stored(grid: Grid, job: str) -> dict[str, Any]:
    """Return the scheduler's document of a job."""
    found = grid.mongo.admin[grid.database]["jobs"].find_one({"_id": job.replace("-", "")})
    assert found is not None
    return found


def peak_bytes(grid: Grid, service: str) -> int:
    """Return the most memory that a service has ever had resident."""
    [process] = [each for name, each in grid.processes.items() if name.startswith(service) and each.is_alive]
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_what_a_prompt_weighs_is_known() -> None:
    assert len(msgspec.json.encode(Task(prompt="x" * 100))) == WRAPPING + 100


async def test_twenty_megabytes_go_in_and_twenty_come_out_byte_by_byte(client: ApiClient, large_grid: Grid) -> None:
    warm = await client.submit(prompt="[[tokens=1]] " + "x" * MAX_INLINE_BYTES)
    await client.ended(warm)
    services = (GATEWAY, SCHEDULER, WORKER)
    before = {service: peak_bytes(large_grid, service) for service in services}
    prompt = "[[tokens=3400]] [[repeat=1000]] " + 'Straße \U0001f600 "quoted" \\n\n\u2028\x01 ' * (20 * MEGABYTE // 30)
    expected = answer_to(prompt, 3400, 1000)
    assert min(len(prompt.encode()), len(expected)) > 19 * MEGABYTE

    job = await client.submit(prompt=prompt)
    async with reading(client, job) as early:
        await early.until_done()
    document = await client.job(job)
    async with reading(client, job) as late:
        done = await late.until_done()

    assert (document["status"], document["output_tokens"]) == ("completed", 3_400_000)
    assert document["output"] == expected
    assert early.text == late.text == expected
    assert done == document
    assert "output" not in stored(large_grid, job)
    grown = {service: (peak_bytes(large_grid, service) - before[service]) // MEGABYTE for service in services}
    assert grown[GATEWAY] < 300
    assert grown[SCHEDULER] < 30
    assert grown[WORKER] < 300


@pytest.mark.parametrize("over", [-1, 0, 1])
async def test_a_prompt_travels_by_reference_from_the_first_byte_too_many(
    client: ApiClient, large_grid: Grid, over: int
) -> None:
    lead = "[[tokens=2]] "
    prompt = lead + "x" * (MAX_INLINE_BYTES - WRAPPING - len(lead) + over)

    document = await client.ended(await client.submit(prompt=prompt))

    assert document["output"] == answer_to(prompt, 2, 1)
    assert ("task_ref" in stored(large_grid, document["job_id"])) is (over > 0)


@pytest.mark.parametrize("repeat", [37_448, 37_449, 37_450])
async def test_an_answer_travels_by_reference_from_the_first_word_too_many(
    client: ApiClient, large_grid: Grid, repeat: int
) -> None:
    directives = f"[[tokens=1]] [[repeat={repeat}]]"
    prompt = next(text for text in (f"{directives} {n}" for n in range(99)) if len(answer_to(text, 1, 1)) == 6)
    expected = answer_to(prompt, 1, repeat)

    document = await client.ended(await client.submit(prompt=prompt))

    assert document["output"] == expected
    is_large = len(expected) + 2 > MAX_INLINE_BYTES
    assert is_large is (repeat == 37_450)
    assert ("output_ref" in stored(large_grid, document["job_id"])) is is_large


async def test_while_s3_is_down_small_jobs_go_on_and_large_ones_end_afterwards_with_their_output(
    client: ApiClient, large_grid: Grid
) -> None:
    prompt = "[[tokens=40]] [[repeat=2000]] [[first=0.5]]"
    job = await client.submit(prompt=prompt)
    await client.until(job, "running")
    large_grid.s3.kill()
    try:
        refused = await until_refused(client)
        small = await client.ended(await client.submit(prompt="[[tokens=2]]"))
        await client.reached(job, "started")
        meanwhile = await client.job(job)
    finally:
        large_grid.s3.start()
    document = await client.ended(job)

    assert refused["error"] == "unavailable"
    assert small["status"] == "completed"
    assert meanwhile["status"] == "running"
    assert (document["status"], document["attempts"]) == ("completed", 1)
    assert document["output"] == answer_to(prompt, 40, 2000)


async def test_without_a_blob_service_small_jobs_go_on_and_large_ones_wait(client: ApiClient, large_grid: Grid) -> None:
    done = await client.submit(prompt="[[tokens=50]] [[repeat=2000]]")
    expected = (await client.ended(done))["output"]
    [blob] = [each for name, each in large_grid.processes.items() if name.startswith(BLOB) and each.is_alive]
    blob.kill()

    refused = await client.call("POST", JOBS, {"model": "synthetic", "prompt": "x" * MAX_INLINE_BYTES})
    unread = await client.call("GET", f"{JOBS}/{done}")
    waiting = await client.submit(prompt="[[tokens=50]] [[repeat=2000]] again")
    small = await client.ended(await client.submit(prompt="[[tokens=2]]"))
    meanwhile = await client.job(waiting)
    large_grid.start(BLOB)
    await large_grid.until_ready()

    assert (refused.status, unread.status) == (503, 503)
    assert "Retry-After" in refused.headers
    assert "Retry-After" in unread.headers
    assert small["status"] == "completed"
    assert meanwhile["status"] in {"pending", "claimed", "running"}
    assert (await client.ended(waiting))["status"] == "completed"
    assert (await client.job(done))["output"] == expected


async def test_a_failed_job_with_a_large_prompt_is_retried_with_that_prompt(client: ApiClient) -> None:
    prompt = "[[tokens=5]] [[hang]] " + "word " * 100_000
    job = await client.submit(prompt=prompt)
    await client.until(job, "running")
    await client.call("POST", f"{JOBS}/{job}/cancel")

    retried = await client.call("POST", f"{JOBS}/{job}/retry")
    async with reading(client, job) as reader:
        while len(reader.text.split()) < 5:
            await reader.next()
        await client.call("POST", f"{JOBS}/{job}/cancel")

    assert retried.status == 200
    assert reader.text == answer_to(prompt, 5, 1)


async def test_many_large_prompts_at_once_are_all_taken(client: ApiClient, large_grid: Grid) -> None:
    before = peak_bytes(large_grid, GATEWAY)
    prompts = [f"[[tokens=2]] {number} " + "x" * (5 * MEGABYTE) for number in range(8)]

    jobs = await asyncio.gather(*(client.submit(prompt=prompt) for prompt in prompts))
    documents = await asyncio.gather(*map(client.ended, jobs))

    assert [document["output"] for document in documents] == [answer_to(prompt, 2, 1) for prompt in prompts]
    assert peak_bytes(large_grid, GATEWAY) - before < 400 * MEGABYTE


async def until_refused(client: ApiClient) -> dict[str, Any]:
    """Return the refusal of a large prompt; an S3 that answered a second ago is believed to be well."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.call("POST", JOBS, {"model": "synthetic", "prompt": "x" * MAX_INLINE_BYTES})
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0
                return dict(answer.body)
            await asyncio.sleep(0.1)
