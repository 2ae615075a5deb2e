"""Raw tasks through the engine that speaks OpenAI, against a server that may do anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom_contract.fault import FaultCode, FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import Json, fold
from gridloom_testing.builders import an_order
from gridloom_worker.engines.engine import Ending, TokenCounts
from gridloom_worker.engines.openai_http import open_openai_http
from integration.worker.rude_engine import GOOD_STREAM, USAGE, Behave, answers, breaks_off, frame, rude_engine, streams

RAW = Task(raw={"messages": [{"role": "user", "content": "Hi"}]})
EMBED = Task(kind=Kind.EMBEDDING, raw={"input": "Hi"})


async def ask(behave: Behave, task: Task = RAW) -> tuple[list[str], Ending]:
    """Return the frames an engine emits for a task, and how it ended."""
    said: list[str] = []
    paths = {"chat": behave, "completions": behave, "embeddings": behave}
    async with rude_engine(**paths) as server, open_openai_http(server.url, "", ()) as engine:
        ending = await engine.run(an_order(task=task), said.append)
    return said, ending


def chunk(**fields: Any) -> bytes:
    """One event of a stream, with the names that engines give their chunks."""
    names = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "there"}
    return b"data: " + msgspec.json.encode({**names, **fields}) + b"\n\n"


async def test_frames_are_what_the_engine_said_but_for_its_names() -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "Hel"}, "logprobs": {"content": []}}], "whatever": [1]}
    frames, _ = await ask(streams(chunk(**said), *GOOD_STREAM[1:]))
    assert msgspec.json.decode(frames[0]) == said
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in frames)


async def test_the_body_is_what_the_frames_fold_into() -> None:
    frames, ending = await ask(streams(*GOOD_STREAM))
    body = msgspec.json.decode(ending.body or "")
    assert body == fold(map(msgspec.json.decode, frames))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
    assert body["usage"] == USAGE
    assert (ending.finish_reason, ending.usage) == ("stop", TokenCounts(tokens_in=3, tokens_out=2))


async def test_an_answer_in_one_piece_is_emitted_in_frames_and_kept_whole() -> None:
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}
    frames, ending = await ask(
        answers(200, msgspec.json.encode({"id": "x", "model": "there", "usage": USAGE, **whole}))
    )
    assert msgspec.json.decode(ending.body or "") == {**whole, "usage": USAGE}
    assert fold(map(msgspec.json.decode, frames)) == {**whole, "usage": USAGE}


async def test_an_error_in_mid_stream_fails_the_job_after_what_was_said() -> None:
    error = b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'
    said: list[str] = []
    async with rude_engine(chat=streams(GOOD_STREAM[0], error)) as server, open_openai_http(server.url, "", ()) as one:
        with pytest.raises(FaultError) as failed:
            await one.run(an_order(task=RAW), said.append)
    assert (failed.value.fault.code, failed.value.fault.retryable) == (FaultCode.UPSTREAM, True)
    assert "out of memory" in failed.value.fault.message
    assert len(said) == 1


async def test_an_answer_is_half_until_every_choice_has_ended() -> None:
    other = chunk(choices=[{"index": 1, "delta": {"content": "No"}}])
    with pytest.raises(FaultError, match="broke"):
        await ask(breaks_off(other, *GOOD_STREAM[:3]))
    ended = chunk(choices=[{"index": 1, "delta": {}, "finish_reason": "stop"}])
    _, ending = await ask(breaks_off(other, *GOOD_STREAM[:3], ended))
    assert len(msgspec.json.decode(ending.body or "")["choices"]) == 2


async def test_embeddings_are_kept_as_the_engine_gives_them() -> None:
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}], "usage": USAGE}
    frames, ending = await ask(answers(200, msgspec.json.encode({**body, "model": "there"})), EMBED)
    assert frames == []
    assert msgspec.json.decode(ending.body or "") == {"data": body["data"], "usage": USAGE}
    assert ending.usage.tokens_in == 3


@pytest.mark.parametrize("body", [b"{}", b"[]", b"oops", b'{"data": 7}', b""])
async def test_an_answer_without_embeddings_is_none(body: bytes) -> None:
    with pytest.raises(FaultError) as failed:
        await ask(answers(200, body), EMBED)
    assert failed.value.fault.code is FaultCode.BAD_OUTPUT


async def test_embeddings_are_only_for_those_who_take_a_whole_body() -> None:
    with pytest.raises(FaultError, match="cannot do"):
        await ask(answers(200), Task(kind=Kind.EMBEDDING, prompt="Hi"))


junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "delta", "index", "usage", "tool_calls", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "x"]), junk, max_size=3), max_size=5))
async def test_whatever_an_engine_says_is_an_answer_or_a_fault(said: list[Json]) -> None:
    frames = [b"data: " + msgspec.json.encode(one) + b"\n\n" for one in said]
    _, ending = await ask(streams(*frames, frame(finish="stop"), b"data: [DONE]\n\n"))
    assert isinstance(msgspec.json.decode(ending.body or ""), dict)


async def test_an_answer_nested_beyond_reason_is_refused() -> None:
    deep = b'data: {"choices":[{"index":0,"delta":{"x":' + b'{"a":' * 600 + b"1" + b"}" * 600 + b"}}]}\n\n"
    with pytest.raises(FaultError) as failed:
        await ask(streams(*[deep] * 3, *GOOD_STREAM))
    assert failed.value.fault.code is FaultCode.BAD_OUTPUT
