"""Raw jobs through every real process: the engine's own answer, kept whole, and shown as text where text is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from e2e.raw_jobs import RawJobs, raw_jobs
from gridloom_contract.fault import FaultCode
from gridloom_contract.registry import BLOB
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import text_of
from gridloom_local.plan import EMBEDDERS, SYNTHETIC
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from integration.gateway.reading import reading

MODEL, EMBEDDER = SYNTHETIC, EMBEDDERS[SYNTHETIC]
SLOWLY = "[[tokens=40]] [[rate=80]]"
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"properties": {"river": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that keeps large things, too."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("raw")) as grid:
        grid.start_all(BLOB)
        yield grid


@pytest.fixture
async def jobs(grid: Grid) -> AsyncIterator[RawJobs]:
    """A new account."""
    async with raw_jobs(grid) as jobs:
        yield jobs


def asking(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


async def test_what_is_streamed_shown_and_stored_is_the_same_answer(jobs: RawJobs) -> None:
    name = await jobs.submit(MODEL, messages=asking(SLOWLY), logprobs=True)
    async with reading(jobs.client, name) as reader:
        shown = await reader.until_done()
    known = await jobs.known(name)
    body = msgspec.json.decode(known.output or "")

    assert len(reader.text.split()) == 40
    assert reader.text == shown["output"] == text_of(body)
    assert len(body["choices"][0]["logprobs"]["content"]) == 40
    assert reader.last_id == f"1-{known.streamed_characters}-{len(reader.text)}"
    assert (shown["output_tokens"], shown["finish_reason"]) == (40, "stop")
    assert known.usage is not None
    assert not known.usage.estimated


async def test_a_reader_that_loses_its_connection_misses_and_repeats_nothing(jobs: RawJobs) -> None:
    name = await jobs.submit(MODEL, messages=asking(SLOWLY))
    async with reading(jobs.client, name) as first:
        while len(first.text.split()) < 5:
            await first.next()
    async with reading(jobs.client, name, last_event_id=first.last_id) as again:
        document = await again.until_done()
    assert first.text + again.text == document["output"]


async def test_a_call_of_a_tool_is_stored_whole(jobs: RawJobs) -> None:
    name = await jobs.submit(MODEL, messages=asking("Hi"), tools=[TOOL], tool_choice="required")
    document = await jobs.client.ended(name)
    message = msgspec.json.decode((await jobs.known(name)).output or "")["choices"][0]["message"]
    assert (document["finish_reason"], document["output"]) == ("tool_calls", "")
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["look_up"]


async def test_embeddings_are_made_by_the_model_that_makes_them(jobs: RawJobs) -> None:
    name = await jobs.submit(EMBEDDER, Kind.EMBEDDING, input=["one", "two three"], encoding_format="float")
    document = await jobs.client.ended(name)
    body = msgspec.json.decode((await jobs.known(name)).output or "")
    assert [len(one["embedding"]) for one in body["data"]] == [32, 32]
    assert (document["status"], document["input_tokens"], document["output_tokens"]) == ("completed", 3, 0)


async def test_a_model_is_not_asked_for_what_it_does_not_do(jobs: RawJobs) -> None:
    for model, kind in ((MODEL, Kind.EMBEDDING), (EMBEDDER, Kind.CHAT)):
        outcome = await jobs.try_submit(model, kind, {})
        assert outcome.fault is not None
        assert (outcome.fault.code, outcome.fault.field) == (FaultCode.INVALID, "model")


async def test_a_large_answer_is_kept_elsewhere_and_shown_as_text_all_the_same(jobs: RawJobs) -> None:
    name = await jobs.submit(MODEL, messages=asking("[[tokens=300]] [[repeat=300]]"))
    document = await jobs.client.ended(name)
    assert (await jobs.known(name)).output_ref is not None
    assert len(document["output"].split()) == 90_000

    async with reading(jobs.client, name) as reader:
        shown = await reader.until_done()
    assert reader.text == shown["output"] == document["output"]


async def test_an_answer_that_breaks_off_begins_again_with_another_attempt(jobs: RawJobs) -> None:
    name = await jobs.submit(MODEL, messages=asking("[[tokens=3]] [[rate=20]] [[fail]]"))
    async with reading(jobs.client, name) as reader, asyncio.timeout(30):
        document = await reader.until_done()
    assert (document["status"], document["attempts"], reader.resets) == ("failed", 3, 2)


async def test_jobs_of_another_api_are_not_in_the_listing_and_open_by_their_ids(jobs: RawJobs) -> None:
    native = await jobs.client.submit(MODEL)
    raw = await jobs.submit(MODEL, messages=asking("Hi"))
    await jobs.client.ended(raw)
    await jobs.client.ended(native)
    listing = await jobs.client.call("GET", "/api/v1/jobs")
    assert [row["id"] for row in listing.body["jobs"]] == [native]
