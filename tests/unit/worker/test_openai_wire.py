"""Reading and writing the OpenAI wire format."""

from __future__ import annotations

import msgspec
import pytest

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Kind
from gridloom_testing.builders import an_order
from gridloom_worker.engines.openai_wire import Chunk, message_in, read, request_of, status_in


def body_of(task: Task) -> dict:
    return msgspec.json.decode(request_of(an_order(model="m", task=task))[1])


def test_a_prompt_becomes_one_user_message() -> None:
    assert body_of(Task(prompt="Hi"))["messages"] == [{"role": "user", "content": "Hi"}]


def test_messages_go_as_they_are() -> None:
    messages = (
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    )
    assert body_of(Task(messages=messages))["messages"] == list(messages)


def test_a_completion_is_asked_for_at_its_own_path() -> None:
    path, body = request_of(an_order(task=Task(kind=Kind.COMPLETION, prompt="Once")))
    assert path == "completions"
    assert msgspec.json.decode(body)["prompt"] == "Once"


def test_parameters_pass_through_untouched() -> None:
    params = {"temperature": 0.1, "logit_bias": {"1": -100}, "whatever": [None, "x"]}
    assert body_of(Task(prompt="Hi", params=params)).items() >= params.items()


def test_the_model_and_streaming_are_not_the_callers_to_choose() -> None:
    body = body_of(Task(prompt="Hi", params={"model": "other", "stream": False, "stream_options": {"x": 1}}))
    assert (body["model"], body["stream"]) == ("m", True)
    assert body["stream_options"] == {"x": 1, "include_usage": True}


@pytest.mark.parametrize("options", [None, "nonsense"])
def test_stream_options_that_are_none_are_replaced(options: object) -> None:
    assert body_of(Task(prompt="Hi", params={"stream_options": options}))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'"\\ud83d"', "\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ude00\\ud83d"', "\ufffd\ufffd"),
        (b'"\\\\ud83d\\ud83d"', "\\ud83d\ufffd"),
        (b'"\xff"', "\ufffd"),
        (b'"\\u0000"', "\0"),
    ],
)
def test_text_that_is_not_unicode_is_read_all_the_same(content: bytes, text: str) -> None:
    assert read(content, str) == text


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        read(b"<html>", Chunk)


def test_a_piece_is_found_in_each_form() -> None:
    forms = (b'{"delta": {"content": "x"}}', b'{"message": {"content": "x"}}', b'{"text": "x"}')
    chunks = [read(b'{"choices": [' + form + b"]}", Chunk) for form in forms]
    assert [chunk.choices[0].piece() for chunk in chunks] == ["x", "x", "x"]


def test_a_delta_without_content_brings_nothing() -> None:
    assert read(b'{"choices": [{"delta": {"content": null, "role": "assistant"}}]}', Chunk).choices[0].piece() == ""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"error": {"message": "no", "code": 400}}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"message": "no"}', "no"),
        (b'{"detail": [{"loc": ["body"]}]}', '[{"loc":["body"]}]'),
        (b"<h1>no</h1>", "<h1>no</h1>"),
        (b"", ""),
    ],
)
def test_an_error_says_its_sentence_in_any_form(body: bytes, sentence: str) -> None:
    assert message_in(body) == sentence


def test_an_error_frame_may_tell_a_status() -> None:
    assert status_in({"code": 400}) == 400
    assert status_in({"code": "bad"}) == status_in("oops") == status_in({"code": 7}) == 500


def test_a_raw_body_goes_as_it_is() -> None:
    raw = {"messages": [{"role": "user", "content": "Hi"}], "logprobs": True, "unheard_of": {"a": [1.5, None]}, "n": 2}
    body = body_of(Task(raw={**raw, "model": "other", "stream": False}))
    assert body == {**raw, "model": "m", "stream": True, "stream_options": {"include_usage": True}}


def test_a_bound_that_some_engines_know_by_an_older_name_is_given_by_both() -> None:
    body = body_of(Task(raw={"messages": [], "max_completion_tokens": 5}))
    assert (body["max_completion_tokens"], body["max_tokens"]) == (5, 5)


@pytest.mark.parametrize(("wish", "asked"), [({}, "base64"), ({"encoding_format": "float"}, "float")])
def test_embeddings_are_asked_for_in_one_piece_and_small_unless_the_caller_minds(wish: dict, asked: str) -> None:
    task = Task(kind=Kind.EMBEDDING, raw={"input": ["a"], **wish})
    assert request_of(an_order(task=task))[0] == "embeddings"
    assert body_of(task) == {"input": ["a"], "model": "m", "encoding_format": asked}
