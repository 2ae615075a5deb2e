"""A real language model (SmolLM2 under llama.cpp) behind the whole grid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest

from e2e.raw_jobs import raw_jobs
from gridloom_contract.registry import GATEWAY, QUOTA, SCHEDULER, WORKER
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import text_of
from gridloom_local.plan import EMBEDDERS, LLAMACPP, MODELS
from gridloom_testing.clients import JOBS, ApiClient
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer
from integration.gateway.reading import reading

MODEL = MODELS[LLAMACPP]
QUESTION = "What is the capital of France? Answer in one sentence."
STORY = "Write a very long story about a weaver, with many chapters."
SLOT_FREE_SECONDS = 1.0


@pytest.fixture(scope="module")
def grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid whose worker runs the model, two jobs at once."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("llm")) as grid:
        grid.start(SCHEDULER)
        grid.start(QUOTA)
        grid.start(GATEWAY)
        grid.wait_until_ready()
        # One thread: several spin while they wait for each other, and the machine is shared with the grid.
        settings = {"engine": LLAMACPP, "models": MODEL, "slots": 2, "threads": 1, "context_tokens": 1024}
        settings |= {"embedding_model": "packaged"}
        grid.start(WORKER, grid.enrol(), **settings)
        grid.wait_until_ready()
        yield grid


async def read_whole(client: ApiClient, job: str) -> tuple[str, dict[str, Any]]:
    """Return the text as it was streamed, and the document at the end."""
    async with reading(client, job) as reader:
        document = await reader.until_done()
    return reader.text, document


def moment(document: dict[str, Any], step: str) -> datetime:
    return datetime.fromisoformat(document[f"{step}_at"])


async def test_the_model_answers_and_what_was_streamed_is_what_is_stored(client: ApiClient) -> None:
    job = await client.submit(MODEL, QUESTION)
    streamed, document = await read_whole(client, job)

    assert (document["status"], document["finish_reason"]) == ("completed", "stop")
    assert streamed == document["output"] == (await client.job(job))["output"] != ""
    assert document["output_tokens"] > 1
    assert document["input_tokens"] > 5


async def test_two_clients_are_answered_at_once_each_with_its_own_words(grid: Grid) -> None:
    async with grid.client() as one, grid.client() as other:
        story = await one.submit(MODEL, STORY)
        async with reading(one, story) as listener:
            while not listener.text:
                await listener.next()
            streamed, answered = await read_whole(other, await other.submit(MODEL, QUESTION))
            heard = len(listener.text)
            while len(listener.text) == heard:
                await listener.next()
            untold = await one.job(story)
            await one.call("POST", f"{JOBS}/{story}/cancel")

    assert (answered["status"], streamed) == ("completed", answered["output"])
    assert untold["status"] == "running"
    assert moment(untold, "started") < moment(answered, "started")


async def test_a_job_that_is_canceled_while_the_model_speaks_frees_its_slot_at_once(client: ApiClient) -> None:
    stories = [await client.submit(MODEL, STORY) for _ in range(2)]
    async with reading(client, stories[0]) as first, reading(client, stories[1]) as second:
        while not (first.text and second.text):
            await asyncio.gather(*(reader.next() for reader in (first, second) if not reader.text))
        waiting = await client.submit(MODEL, QUESTION)
        canceled = [(await client.call("POST", f"{JOBS}/{job}/cancel")).body for job in stories]

    assert [document["cancelled"] for document in canceled] == [True, True]
    document = await client.ended(waiting)
    assert document["status"] == "completed"
    freed = moment(document, "started") - moment(canceled[0], "completed")
    assert freed.total_seconds() < SLOT_FREE_SECONDS


async def test_a_raw_chat_keeps_what_the_engine_said_beside_the_text(grid: Grid) -> None:
    async with raw_jobs(grid) as jobs:
        name = await jobs.submit(MODEL, messages=[{"role": "user", "content": QUESTION}], logprobs=True, max_tokens=20)
        streamed, document = await read_whole(jobs.client, name)
        body = msgspec.json.decode((await jobs.known(name)).output or "")
    tokens = body["choices"][0]["logprobs"]["content"]
    assert streamed == document["output"] == text_of(body) != ""
    assert "".join(token["token"] for token in tokens).strip() == streamed.strip()
    assert body["usage"]["completion_tokens"] == document["output_tokens"]


async def test_real_embeddings_put_like_things_close_together(grid: Grid) -> None:
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    async with raw_jobs(grid) as jobs:
        name = await jobs.submit(EMBEDDERS[LLAMACPP], Kind.EMBEDDING, input=texts, encoding_format="float")
        document = await jobs.client.ended(name)
        body = msgspec.json.decode((await jobs.known(name)).output or "")
    food, bread, girl = (one["embedding"] for one in body["data"])
    likeness = [sum(a * b for a, b in zip(food, other, strict=True)) for other in (bread, girl)]
    assert likeness == [pytest.approx(0.755, abs=0.01), pytest.approx(-0.105, abs=0.01)]
    assert (document["output_tokens"], document["input_tokens"]) == (0, body["usage"]["prompt_tokens"])
