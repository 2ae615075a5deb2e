"""The official Python client, unmodified but for its base URL: API.md §5, calls 19 to 30 and 34, and all of §2.3."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.clients import install_clients, run_python_client
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

MODELS = "synthetic,embedder,acme/loom-1"


@pytest.fixture(scope="module")
def openai_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with models for all that is asked, one with a slash in its name."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("grid")) as grid:
        grid.start_all(models=MODELS)
        yield grid


@pytest.fixture(scope="module")
def said(openai_grid: Grid) -> dict[str, Any]:
    """What the client got, by the name of the call."""
    install_clients()
    return dict(asyncio.run(run_python_client("openai_python.py", f"{openai_grid.url}/v1", openai_grid.new_key())))


def text_of(chunks: list[dict[str, Any]]) -> str:
    """Return what the chunks of a stream say together."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta["content"] or "" for delta in deltas)


def test_it_lists_models_and_finds_one_whose_name_has_a_slash(said: dict[str, Any]) -> None:
    assert sorted(said["models"]["listed"]) == sorted(MODELS.split(","))
    model = said["models"]["retrieved"]
    assert (model["id"], model["object"], model["service_type"]) == ("acme/loom-1", "model", "llm")
    assert (model["input_modalities"], model["output_modalities"]) == (["text"], ["text"])


def test_it_chats_and_knows_its_request_and_its_job(said: dict[str, Any]) -> None:
    chat, answer = said["chat"], said["chat"]["answer"]
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert len(answer["choices"][0]["message"]["content"].split()) == 5
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["id"] == f"chatcmpl-{chat['job']}"
    assert chat["request_id"]


def test_a_stream_begins_with_who_speaks_and_comes_word_by_word(said: dict[str, Any]) -> None:
    chunks = said["stream"]
    first = chunks[0]["choices"][0]
    assert (first["delta"]["role"], first["delta"]["content"]) == ("assistant", "")
    assert [chunk["choices"][0]["delta"]["role"] for chunk in chunks[1:]] == [None] * len(chunks[1:])
    assert len(text_of(chunks).split()) == 6
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks].count("stop") == 1
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)


def test_with_include_usage_the_last_chunk_and_no_other_counts(said: dict[str, Any]) -> None:
    *chunks, last = said["include_usage"]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 5
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)


def test_its_stream_helper_puts_the_answer_together(said: dict[str, Any]) -> None:
    helped = said["stream_helper"]
    choice = helped["final"]["choices"][0]
    assert helped["kinds"].count("content.delta") >= 5
    assert helped["kinds"][-1] == "content.done"
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    assert len(choice["message"]["content"].split()) == 6


@pytest.mark.parametrize("manner", ["whole", "streamed"])
def test_calls_of_tools_arrive_whole(said: dict[str, Any], manner: str) -> None:
    choice = said["tools"][manner]["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert call["function"]["arguments"] == '{"city":"thread"}'
    assert call["id"].startswith("call_")


def test_a_structured_answer_is_parsed(said: dict[str, Any]) -> None:
    assert said["parsed"].keys() == {"name", "age"}


def test_probabilities_pass_through(said: dict[str, Any]) -> None:
    told = said["logprobs"]["logprobs"]["content"]
    assert "".join(token["token"] for token in told) == said["logprobs"]["message"]["content"]


def test_unknown_parameters_are_no_mistake_and_the_newer_limit_is_known(said: dict[str, Any]) -> None:
    assert said["limits"]["finish_reason"] == "length"
    assert len(said["limits"]["message"]["content"].split()) == 2


def test_texts_are_completed_whole_and_streamed(said: dict[str, Any]) -> None:
    whole, streamed = said["completions"]["whole"], said["completions"]["streamed"]
    assert whole["object"] == "text_completion"
    assert whole["choices"][0]["text"] == "".join(chunk["choices"][0]["text"] for chunk in streamed)
    assert len(whole["choices"][0]["text"].split()) == 4


def test_vectors_come_packed_to_who_packs_silently_and_as_numbers(said: dict[str, Any]) -> None:
    silent, numbers = said["embeddings"]["silent"], said["embeddings"]["float"]
    assert [item["index"] for item in silent["data"]] == [0, 1]
    for one, other in zip(silent["data"], numbers["data"], strict=True):
        assert one["embedding"] == pytest.approx(other["embedding"], abs=1e-6)
    assert silent["usage"]["prompt_tokens"] == 2


ERRORS = {
    "unknown_model": ("NotFoundError", 404, "no_provider", "model_not_found"),
    "wrong_key": ("AuthenticationError", 401, "not_authenticated", "invalid_api_key"),
    "no_messages": ("BadRequestError", 400, "invalid_request", None),
    "refused_by_engine": ("BadRequestError", 400, "invalid_request", None),
    "broken_engine": ("InternalServerError", 502, "upstream_error", None),
    "images": ("NotFoundError", 404, "not_found", None),
    "edit": ("NotFoundError", 404, "not_found", None),
    "speech": ("NotFoundError", 404, "not_found", None),
    "transcription": ("NotFoundError", 404, "not_found", None),
    "no_such_model": ("NotFoundError", 404, "not_found", None),
}


@pytest.mark.parametrize("case", ERRORS)
def test_each_error_is_of_its_class_and_says_what_it_is(said: dict[str, Any], case: str) -> None:
    error = said["errors"][case]
    assert (error["class"], error["status"], error["type"], error["code"]) == ERRORS[case]
    assert error["request_id"]
    assert error["message"]


def test_an_error_in_the_middle_of_a_stream_is_one_to_the_client(said: dict[str, Any]) -> None:
    error = said["error_in_stream"]
    assert len(error["said"].split()) >= 3
    assert (error["class"], error["type"]) == ("APIError", "invalid_request")


def test_its_asynchronous_half_does_the_same(said: dict[str, Any]) -> None:
    assert len(set(said["asynchronous"]["texts"])) == 1
    assert len(said["asynchronous"]["texts"]) == 8
    assert len(said["asynchronous"]["said"].split()) == 6


def test_with_async_the_answer_is_a_job_and_its_result_the_answer(said: dict[str, Any]) -> None:
    envelope, document = said["later"]["envelope"], said["later"]["document"]
    assert (envelope["object"], envelope["status"], envelope["inference_type"]) == ("inference.job", "QUEUED", "chat")
    assert document["status"] == "PROCESSED"
    assert document["result"]["object"] == "chat.completion"
    assert len(document["result"]["choices"][0]["message"]["content"].split()) == 5


def test_responses_are_chats_in_other_words(said: dict[str, Any]) -> None:
    told = said["responses"]
    assert (told["whole"]["object"], told["whole"]["status"]) == ("response", "completed")
    assert told["whole"]["instructions"] == "Be brief."
    assert len(told["text"].split()) == 5
    assert told["refused"] == "previous_response_id"
    assert len(told["answered"].split()) == 3
    assert told["parsed"].keys() == {"name", "age"}


def test_a_response_is_streamed_event_by_event(said: dict[str, Any]) -> None:
    told = said["responses"]
    deltas = [kind for kind in told["kinds"] if kind == "response.output_text.delta"]
    assert [kind.removeprefix("response.") for kind in dict.fromkeys(told["kinds"])] == [
        *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert len(deltas) >= 5
    assert len(told["final"].split()) == 6
    assert told["usage"]["output_tokens"] == 6


def test_calls_in_a_response_are_items(said: dict[str, Any]) -> None:
    told = said["responses"]
    for call in (told["called"], told["final_call"]):
        assert (call["type"], call["name"], call["arguments"]) == ("function_call", "weather", '{"city":"thread"}')
        assert call["call_id"].startswith("call_")
    assert "response.function_call_arguments.done" in told["called_streamed"]
