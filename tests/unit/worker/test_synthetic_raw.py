"""The synthetic engine's answers to raw tasks."""

from __future__ import annotations

import struct
from binascii import a2b_base64
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_domain.completions import Json, fold, said_in, text_of
from gridloom_testing.builders import an_order
from gridloom_worker.engines.engine import Ending
from gridloom_worker.engines.synthetic import Synthetic, SyntheticPlan
from gridloom_worker.engines.synthetic_values import example_of, vector_of

PLAN = SyntheticPlan(tokens=8)
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"enum": ["C", "F"]},
        "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 9}, "minItems": 2},
    },
    "required": ["city", "days", "unit", "place", "tags"],
    "additionalProperties": False,
    "$defs": {"Place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]}},
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}


async def answer(kind: Kind = Kind.CHAT, model: str = "synthetic", **raw: Any) -> tuple[list[Json], Json, Ending]:
    said: list[str] = []
    order = an_order(model=model, task=Task(kind=kind, raw=raw))
    ending = await Synthetic((model,), PLAN).run(order, said.append)
    return list(map(msgspec.json.decode, said)), msgspec.json.decode(ending.body or ""), ending


def asking(prompt: str) -> list[Json]:
    return [{"role": "user", "content": prompt}]


async def test_a_chat_streams_frames_that_fold_into_its_body() -> None:
    frames, body, ending = await answer(messages=asking("Hi"))
    assert fold(frames) == body
    assert "".join(map(said_in, frames)) == text_of(body)
    assert len(text_of(body).split()) == body["usage"]["completion_tokens"] == ending.usage.tokens_out == 8
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert frames[-1]["choices"] == []


async def test_a_completion_has_texts() -> None:
    frames, body, _ = await answer(Kind.COMPLETION, prompt="Once", max_tokens=3)
    assert len(body["choices"][0]["text"].split()) == 3
    assert body["choices"][0]["finish_reason"] == "length"
    assert fold(frames) == body


async def test_directives_are_followed_in_raw_tasks_too() -> None:
    with pytest.raises(FaultError):
        await answer(messages=asking("[[tokens=2]] [[fail]]"))


@pytest.mark.parametrize(
    ("choice", "prompt", "called"),
    [
        ("required", "Hi", "look_up"),
        ({"type": "function", "function": {"name": "other"}}, "Hi", "other"),
        ("auto", "[[tool]]", "look_up"),
        ("auto", "Hi", None),
        ("none", "[[tool]]", None),
    ],
)
async def test_a_tool_is_called_if_the_request_says_so(choice: Any, prompt: str, called: str | None) -> None:
    frames, body, ending = await answer(messages=asking(prompt), tools=[TOOL, OTHER], tool_choice=choice)
    calls = body["choices"][0]["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([called] if called else [])
    assert (ending.finish_reason == "tool_calls") is bool(called)
    assert fold(frames) == body


async def test_a_tool_that_has_answered_is_not_called_again() -> None:
    messages = [*asking("[[tool]]"), {"role": "tool", "tool_call_id": "x", "content": "7"}]
    _, body, _ = await answer(messages=messages, tools=[TOOL])
    assert text_of(body)


async def test_what_a_tool_is_called_with_satisfies_its_schema() -> None:
    _, body, _ = await answer(messages=asking("Hi"), tools=[TOOL], tool_choice="required")
    arguments = body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    Draft202012Validator(SCHEMA).validate(msgspec.json.decode(arguments))


async def test_an_answer_has_the_format_asked_for() -> None:
    wish = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    _, body, _ = await answer(messages=asking("Hi"), response_format=wish)
    Draft202012Validator(SCHEMA).validate(msgspec.json.decode(text_of(body)))
    _, body, _ = await answer(messages=asking("Hi"), response_format={"type": "json_object"})
    assert isinstance(msgspec.json.decode(text_of(body)), dict)


async def test_logprobs_come_one_for_each_token() -> None:
    _, body, _ = await answer(messages=asking("Hi"), logprobs=True)
    said = body["choices"][0]["logprobs"]["content"]
    assert "".join(one["token"] for one in said) == text_of(body)


@pytest.mark.parametrize("told", ["one two", ["one two", "three"], [1, 2, 3], [[1, 2], [3]]])
async def test_each_input_has_a_vector_of_its_own_and_always_the_same(told: Any) -> None:
    _, body, ending = await answer(Kind.EMBEDDING, "embedder", input=told, encoding_format="float")
    again = await answer(Kind.EMBEDDING, "embedder", input=told, encoding_format="float")
    vectors = [tuple(one["embedding"]) for one in body["data"]]
    assert body == again[1]
    assert len(set(vectors)) == len(vectors) == (len(told) if isinstance(told, list) and told != [1, 2, 3] else 1)
    assert ending.usage.tokens_out == 0


async def test_vectors_come_packed_unless_the_caller_wants_them_otherwise() -> None:
    _, body, _ = await answer(Kind.EMBEDDING, "embedder", input="one", dimensions=4)
    values = struct.unpack("<4f", a2b_base64(body["data"][0]["embedding"]))
    assert values == pytest.approx(vector_of("one", 4), rel=1e-6)
    assert sum(value * value for value in values) == pytest.approx(1)


@pytest.mark.parametrize(("kind", "model"), [(Kind.EMBEDDING, "synthetic"), (Kind.CHAT, "embedder")])
async def test_a_model_does_only_what_it_is_for(kind: Kind, model: str) -> None:
    with pytest.raises(FaultError, match="cannot do"):
        await answer(kind, model, input="x", messages=asking("x"))


@pytest.mark.parametrize("schema", [{}, True, None, [], {"$ref": "#/nowhere"}, {"$ref": "#"}, {"type": ["null"]}])
def test_any_schema_has_an_example(schema: Any) -> None:
    msgspec.json.encode(example_of(schema))
