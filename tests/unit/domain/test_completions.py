"""Answers of raw tasks: frames fold into a body, a body unfolds into frames, and neither loses a word."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_domain.completions import (
    Folding,
    Frames,
    Json,
    body_in,
    fold,
    frame_of,
    line_of,
    said_in,
    text_in,
    text_of,
    unfold,
)

words = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(words, scalars, max_size=2)
unknown = st.dictionaries(words.map("x_{}".format), anything, max_size=2)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text("abc123", min_size=1, max_size=6),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": st.text("abc_", min_size=1, max_size=6), "arguments": words}),
        }
    ),
    min_size=1,
    max_size=3,
)
logprobs = st.fixed_dictionaries(
    {"content": st.lists(st.fixed_dictionaries({"token": words, "logprob": st.integers(-9, 0)}), max_size=4)}
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | words},
    optional={"tool_calls": calls, "reasoning_content": words, "refusal": words},
)
endings = st.none() | st.sampled_from(["stop", "length", "tool_calls"])
chat_choices = st.fixed_dictionaries(
    {"message": messages, "finish_reason": endings}, optional={"logprobs": logprobs, "stop_reason": st.integers()}
)
completion_choices = st.fixed_dictionaries({"text": words, "finish_reason": endings}, optional={"logprobs": logprobs})
usages = st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(0, 9)})


@st.composite
def bodies(draw: st.DrawFn) -> Json:
    """Whole answers with one or more choices, chat or completion, with fields nobody has heard of."""
    choices = draw(st.lists(chat_choices, max_size=3) | st.lists(completion_choices, max_size=3))
    placed = [{**choice, "index": index, **draw(unknown)} for index, choice in enumerate(choices)]
    usage = draw(st.none() | usages)
    return {"choices": placed, **({"usage": usage} if usage else {}), **draw(unknown)}


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


@st.composite
def streamed_bodies(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A body, and its frames as an engine might have sent them: every text and every list cut anywhere."""
    body = draw(bodies())
    frames: list[Json] = []
    for frame in unfold(body):
        parts = [part for choice in frame["choices"] for part in cut(draw, choice)]
        frames += [{"choices": [part]} for part in parts] or [frame]
    return body, frames


def cut(draw: st.DrawFn, choice: Json) -> list[Json]:
    rest = {**choice, **({"delta": dict(choice["delta"])} if "delta" in choice else {})}
    place = {"index": choice["index"]}
    parts: list[Json] = []
    if "text" in rest:
        parts += [{**place, "text": piece} for piece in pieces(draw, rest.pop("text"))]
    delta = rest.get("delta", {})
    for name in ("content", "reasoning_content", "refusal"):
        if isinstance(delta.get(name), str):
            parts += [{**place, "delta": {name: piece}} for piece in pieces(draw, delta.pop(name))]
    for call in delta.pop("tool_calls", []):
        said = pieces(draw, call["function"]["arguments"])
        first = {**call, "function": {**call["function"], "arguments": said[0]}}
        more = [{"index": call["index"], "function": {"arguments": piece}} for piece in said[1:]]
        parts += [{**place, "delta": {"tool_calls": [part]}} for part in (first, *more)]
    for item in rest.get("logprobs", {}).get("content", [])[1:]:
        parts.append({**place, "logprobs": {"content": [item]}})
    if rest.get("logprobs"):
        first_only = {"logprobs": {"content": rest.pop("logprobs")["content"][:1]}}
        parts = [{**place, **first_only}, *parts]
    return [*parts, rest]


@given(bodies())
def test_what_is_unfolded_folds_into_the_same_body(body: Json) -> None:
    assert fold(unfold(body)) == body


@given(streamed_bodies())
def test_a_body_is_the_same_however_its_texts_were_cut(streamed: tuple[Json, list[Json]]) -> None:
    body, frames = streamed
    assert fold(frames) == body


@given(streamed_bodies())
def test_what_the_frames_say_is_the_text_of_the_body(streamed: tuple[Json, list[Json]]) -> None:
    body, frames = streamed
    assert "".join(map(said_in, frames)) == text_of(body)


@given(streamed_bodies(), st.lists(st.integers(1, 50), min_size=1))
def test_frames_are_the_same_however_their_stream_was_cut(
    streamed: tuple[Json, list[Json]], lengths: list[int]
) -> None:
    _, frames = streamed
    text, reader, found = "".join(map(line_of, frames)), Frames(), []
    while text:
        for length in lengths:
            found += reader.feed(text[:length])
            text = text[length:]
    assert found == frames


@given(bodies(), st.integers(0, 30))
def test_who_knows_the_beginning_of_the_text_gets_the_rest(body: Json, known_characters: int) -> None:
    rest = "".join(map(said_in, unfold(body, known_characters)))
    assert rest == text_of(body)[known_characters:]


@given(bodies())
def test_an_answer_in_one_piece_is_a_frame_too(body: Json) -> None:
    assert fold([body]) == body


@given(streamed_bodies())
def test_folding_changes_no_frame(streamed: tuple[Json, list[Json]]) -> None:
    _, frames = streamed
    before = msgspec.json.encode(frames)
    fold(frames)
    assert msgspec.json.encode(frames) == before


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage"]), anything)), anything)
def test_nonsense_of_a_stranger_breaks_nothing(frames: list[Json], other: Any) -> None:
    choices = [{"choices": [{"index": other, "delta": other, "message": other, "text": other, "logprobs": other}]}]
    body = fold([*frames, *choices, *choices])
    assert isinstance(text_of(body), str)
    assert unfold(body)
    assert isinstance(text_in(msgspec.json.encode(other).decode()), str)


def delta(**said: Any) -> Json:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": None}], "usage": None}


def test_calls_of_tools_are_merged_by_their_place() -> None:
    body = fold(
        [
            delta(role="assistant", content=None),
            delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x":'}}]),
            delta(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        ]
    )
    assert body["choices"][0] == {
        "index": 0,
        "finish_reason": "tool_calls",
        "message": {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            ],
        },
    }


def test_calls_of_tools_that_share_a_place_are_told_apart_by_their_ids() -> None:
    one = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    body = fold([delta(tool_calls=[one]), delta(tool_calls=[{**one, "id": "b"}])])
    assert [call["id"] for call in body["choices"][0]["message"]["tool_calls"]] == ["a", "b"]


def test_a_role_or_a_name_that_is_said_again_is_not_said_twice() -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "1"}}
    body = fold([delta(role="assistant", tool_calls=[call]), delta(role="assistant", tool_calls=[call])])
    message = body["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "11"}


def test_what_a_filter_says_with_each_chunk_is_not_joined() -> None:
    filtered = {"choices": [{"index": 0, "delta": {"content": "a"}, "content_filter": {"hate": {"level": "safe"}}}]}
    assert fold([filtered, filtered])["choices"][0]["content_filter"] == {"hate": {"level": "safe"}}


def test_of_usage_the_last_word_counts() -> None:
    frames = [delta(content="a"), {"choices": [], "usage": {"completion_tokens": 1}}, {"choices": [], "usage": None}]
    assert fold(frames)["usage"] == {"completion_tokens": 1}


def test_a_frame_has_no_names_and_is_one_line() -> None:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "extra": "a\nb"}
    assert line_of(frame_of(chunk)) == '{"choices":[],"extra":"a\\nb"}\n'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"choices": [{"index": 0, "message": {"content": "Hello"}}]}, "Hello"),
        (
            {"choices": [{"index": 0, "message": {"content": [{"type": "text", "text": "Hel"}, {"text": "lo"}]}}]},
            "Hello",
        ),
        ({"choices": [{"index": 0, "text": "Hello"}]}, "Hello"),
        ({"choices": [{"index": 0, "message": {"content": None, "tool_calls": []}}]}, ""),
        ({"object": "list", "data": [{"embedding": [0.5]}]}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_body_is_the_content_of_its_first_choice(body: Json, text: str) -> None:
    assert text_of(body) == text
    assert text_in(msgspec.json.encode(body).decode()) == text


@pytest.mark.parametrize("output", ["", "plain text", "[1]", "7", "{", "[" * 100_000])
def test_an_output_that_is_no_body_is_its_own_text(output: str) -> None:
    assert body_in(output) is None
    assert text_in(output) == output


def test_lines_that_are_no_frames_are_passed_over() -> None:
    assert Frames().feed('oops\n{"choices":[]}\n[1]\n\n{"half') == [{"choices": []}]


def test_a_long_answer_is_folded_in_time_that_grows_with_its_length() -> None:
    folding = Folding()
    for _ in range(100_000):
        folding.take({"choices": [{"index": 0, "delta": {"content": "word "}}]})
    assert len(text_of(folding.body())) == 500_000
