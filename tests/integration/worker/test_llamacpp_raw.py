"""Raw tasks on llama.cpp itself, with a real model that chats and a real one that makes embeddings."""

from __future__ import annotations

import asyncio
import struct
from binascii import a2b_base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import Json, fold, said_in, text_of
from gridloom_testing.builders import an_order
from gridloom_testing.holding import Holder
from gridloom_worker.engines.engine import Ending
from gridloom_worker.engines.llama_orders import LlamaOrders
from gridloom_worker.engines.llamacpp import (
    DEFAULT_MODEL,
    EMBEDDER,
    EMBEDDER_CONTEXT_TOKENS,
    open_llamacpps,
    packaged_embedder,
    packaged_model,
)
from gridloom_worker.engines.several import Several

pytestmark = pytest.mark.asyncio(loop_scope="module")  # two servers of llama.cpp answer all of them

SCHEMA = {"type": "object", "properties": {"rivers": {"type": "integer"}}, "required": ["rivers"]}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model for embeddings, made into a GGUF file."""
    return packaged_embedder(tmp_path_factory.mktemp("models"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(embedder: Path) -> AsyncIterator[Several]:
    """Both models, as one engine."""
    usual = {"slots": 1, "threads": 1, "api_key": "sesame"}
    chat = LlamaOrders(path=str(packaged_model()), alias=DEFAULT_MODEL, context_tokens=512, **usual)
    embed = LlamaOrders(
        path=str(embedder), alias=EMBEDDER, context_tokens=EMBEDDER_CONTEXT_TOKENS, embeds=True, **usual
    )
    async with Holder() as holder:
        several = Several(await holder.open(open_llamacpps((chat, embed))))
        while len(await several.discover()) < 2:
            await several.unsettled.wait()
            several.unsettled.clear()
        yield several


async def answer(engine: Several, kind: Kind = Kind.CHAT, **raw: Any) -> tuple[list[Json], Json, Ending]:
    """Return the frames, the body and the ending of a raw task."""
    said: list[str] = []
    model = EMBEDDER if kind is Kind.EMBEDDING else DEFAULT_MODEL
    ending = await engine.run(an_order(model=model, task=Task(kind=kind, raw=raw)), said.append)
    return list(map(msgspec.json.decode, said)), msgspec.json.decode(ending.body or ""), ending


def asking(prompt: str) -> list[Json]:
    return [{"role": "user", "content": prompt}]


async def test_both_models_are_offered_each_for_what_it_does(engine: Several) -> None:
    offers = {offer.model: offer.kind for offer in await engine.discover()}
    assert offers == {DEFAULT_MODEL: Kind.CHAT, EMBEDDER: Kind.EMBEDDING}


async def test_a_chat_keeps_the_probabilities_of_its_tokens(engine: Several) -> None:
    frames, body, ending = await answer(
        engine, messages=asking("Say hello"), max_completion_tokens=6, logprobs=True, top_logprobs=2, seed=1
    )
    tokens = body["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens).strip() == text_of(body).strip()
    assert all(len(token["top_logprobs"]) == 2 for token in tokens)
    assert fold(frames) == body
    assert "".join(map(said_in, frames)) == text_of(body)
    assert body["usage"]["completion_tokens"] == ending.usage.tokens_out == 6
    assert ending.finish_reason == "length"


async def test_an_answer_has_the_format_asked_for(engine: Several) -> None:
    wish = {"type": "json_schema", "json_schema": {"name": "rivers", "schema": SCHEMA}}
    _, body, _ = await answer(engine, messages=asking("How many rivers?"), response_format=wish, max_tokens=80, seed=1)
    assert isinstance(msgspec.json.decode(text_of(body))["rivers"], int)


async def test_tools_reach_the_engine_and_the_answer_is_whole(engine: Several) -> None:
    frames, body, _ = await answer(
        engine, messages=asking("How many rivers?"), tools=[TOOL], tool_choice="auto", max_tokens=30, seed=1
    )
    message = body["choices"][0]["message"]
    assert fold(frames) == body
    assert message["role"] == "assistant"
    assert message["content"] or message.get("tool_calls")


async def test_a_completion_goes_on_with_its_prompt(engine: Several) -> None:
    frames, body, _ = await answer(engine, Kind.COMPLETION, prompt="One, two, three,", max_tokens=4, temperature=0)
    assert "four" in text_of(body)
    assert fold(frames) == body


async def test_a_wrong_parameter_is_the_callers_mistake(engine: Several) -> None:
    with pytest.raises(FaultError) as failed:
        await answer(engine, messages=asking("Hi"), grammar="root ::= (", max_tokens=4)
    assert failed.value.fault.code is FaultCode.INVALID


def vectors_in(body: Json) -> list[tuple[float, ...]]:
    packed = [a2b_base64(one["embedding"]) for one in body["data"]]
    return [struct.unpack(f"<{len(one) // 4}f", one) for one in packed]


def likeness(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_embeddings_put_like_things_close_together(engine: Several) -> None:
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    _, body, ending = await answer(engine, Kind.EMBEDDING, input=texts)
    man, bread, girl = vectors_in(body)
    assert len(man) == 384
    assert likeness(man, man) == pytest.approx(1, abs=1e-5)
    # As sentence-transformers has it for this model.
    assert likeness(man, bread) == pytest.approx(0.7553, abs=2e-3)
    assert likeness(man, girl) < 0
    assert (ending.usage.tokens_in, ending.usage.tokens_out) == (body["usage"]["prompt_tokens"], None)


async def test_embeddings_come_as_numbers_if_the_caller_wants_them_so(engine: Several) -> None:
    _, packed, _ = await answer(engine, Kind.EMBEDDING, input="Hello world")
    _, plain, _ = await answer(engine, Kind.EMBEDDING, input="Hello world", encoding_format="float")
    [vector] = vectors_in(packed)
    assert plain["data"][0]["embedding"] == pytest.approx(vector, abs=1e-6)


async def test_a_text_that_is_too_long_for_the_model_is_the_callers_mistake(engine: Several) -> None:
    with pytest.raises(FaultError) as failed:
        await answer(engine, Kind.EMBEDDING, input="word " * 2_000)
    assert failed.value.fault.code is FaultCode.INVALID


async def test_a_file_that_was_made_once_is_not_made_again(embedder: Path) -> None:
    made = await asyncio.to_thread(embedder.stat)
    assert packaged_embedder(embedder.parent) == embedder
    assert (await asyncio.to_thread(embedder.stat)).st_mtime_ns == made.st_mtime_ns
