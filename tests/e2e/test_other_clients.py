"""What is built on the official clients, unmodified but for the base URL: API.md §5, calls 31 to 33, 62 and 63, and
what their users do besides. Each is a script in `tests/clients`; here is what it must have got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from e2e.clients import FRAMEWORKS_PYTHON, SCRIPTS, install_clients, install_node_clients, run_client
from gridloom_contract.registry import WORKER
from gridloom_local.plan import LLAMACPP, MODELS
from gridloom_testing.grid import Grid, open_grid
from gridloom_testing.servers import Infra, MongoServer

REAL_MODEL = MODELS[LLAMACPP]
HELLO = "satin knot stitch cloth fibre"  # what the synthetic engine answers to the greeting of all scripts
ERRORS = {
    "unknown_model": ("NotFoundError", "unknown model 'nobody'"),
    "wrong_key": ("AuthenticationError", "not valid"),
}

Heard = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def clients_grid(infra: Infra, mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid with synthetic models, one of them with a single slot, and a real one."""
    with open_grid(infra, mongo_server, tmp_path_factory.mktemp("clients")) as grid:
        grid.start_all(models="synthetic,embedder,acme/loom-1")
        grid.start(WORKER, grid.enrol(), models="lonely", slots=1)
        grid.start(WORKER, grid.enrol(), engine=LLAMACPP, models=REAL_MODEL, threads=1, context_tokens=512)
        grid.wait_until_ready()
        yield grid


@pytest.fixture(scope="module")
def frameworks(clients_grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """Return what a Python client got, by the name of the call. Each runs once."""
    install_clients("frameworks")
    folder = tmp_path_factory.mktemp("llm")
    # LiteLLM would fetch a list of prices, and llm reads the file of its models there.
    settings = ("env", "LITELLM_LOCAL_MODEL_COST_MAP=True", f"LLM_USER_PATH={folder}")
    return cache(lambda name: hear(clients_grid, *settings, FRAMEWORKS_PYTHON, SCRIPTS / f"with_{name}.py"))


@pytest.fixture(scope="module")
def node(clients_grid: Grid) -> Heard:
    """Return what a client of npm got, by the name of the call. Each runs once."""
    install_node_clients()
    return cache(lambda name: hear(clients_grid, "node", SCRIPTS / f"with_{name}.mjs"))


def hear(grid: Grid, *command: str | Path) -> dict[str, Any]:
    """Return what a script printed about this grid."""
    return dict(asyncio.run(run_client(*command, f"{grid.url}/v1", grid.new_key(), REAL_MODEL)))


def assert_refused(told: dict[str, Any]) -> None:
    """An unknown model and a wrong key are the client's own errors, and say what was wrong."""
    for case, (name, message) in ERRORS.items():
        assert told[case]["class"].endswith(name) or told[case]["class"] == "OpenAIModelNotFoundError"
        assert message in told[case]["message"]


def test_litellm_asks_and_streams(frameworks: Heard) -> None:
    told = frameworks("litellm")
    for way in ("chat", "stream"):
        answer = told[way]
        assert answer["choices"][0]["message"]["content"] == HELLO
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] == 5
    assert told["stream"]["chunks"] > 5
    assert told["asynchronous"] == [HELLO] * 4
    assert len(told["completion"].split()) == 4


def test_litellm_calls_tools_and_gets_shapes_and_vectors(frameworks: Heard) -> None:
    told = frameworks("litellm")
    assert [call["function"] for call in told["tools"]] == [{"name": "weather", "arguments": "{}"}] * 2
    assert told["parsed"] == {"name": "thread", "age": 7}
    assert [len(item["embedding"]) for item in told["embedding"]["data"]] == [32, 32]


def test_litellm_lists_models_and_speaks_of_responses(frameworks: Heard) -> None:
    told = frameworks("litellm")
    assert {"synthetic", "embedder", "acme/loom-1"} <= set(told["models"])
    assert told["responses"]["output"][0]["content"][0]["text"] == HELLO
    assert told["responses"]["usage"]["output_tokens"] == 5


def test_litellm_knows_each_error_and_who_stops_waiting_frees_the_slot(frameworks: Heard) -> None:
    told = frameworks("litellm")
    assert_refused(told["errors"])
    assert (told["errors"]["broken_engine"]["class"], told["errors"]["broken_engine"]["status"]) == (
        "BadGatewayError",
        502,
    )
    assert told["patience"] == {"class": "Timeout", "then": HELLO}


def test_langchain_invokes_and_streams(frameworks: Heard) -> None:
    told = frameworks("langchain")
    assert len(told["invoke"]["text"].split()) == 3
    assert told["invoke"]["told"]["finish_reason"] == "length"
    assert told["stream"]["text"] == told["asynchronous"] == HELLO
    assert told["stream"]["chunks"] > 5
    assert told["stream"]["usage"]["output_tokens"] == 5
    assert told["batch"] == [HELLO] * 4
    assert len(told["completion"].split()) == 4


def test_langchain_calls_tools_and_gets_shapes_and_vectors(frameworks: Heard) -> None:
    told = frameworks("langchain")
    (call,) = told["tools"]["calls"]
    assert (call["name"], call["args"]) == ("weather", {"city": "thread"})
    assert len(told["tools"]["then"].split()) == 3
    person = {"name": "thread", "age": 7}
    assert told["parsed"] == {"json_schema": person, "function_calling": person}
    assert [len(vector) for vector in told["embeddings"]["documents"]] == [32, 32]
    assert told["embeddings"]["query"] == told["embeddings"]["documents"][0]


def test_langchain_speaks_of_responses(frameworks: Heard) -> None:
    told = frameworks("langchain")
    assert told["responses"]["text"] == told["responses_streamed"] == HELLO
    assert told["responses"]["usage"]["output_tokens"] == 5


def test_langchain_knows_each_error_and_who_stops_waiting_frees_the_slot(frameworks: Heard) -> None:
    told = frameworks("langchain")
    assert_refused(told["errors"])
    assert told["patience"] == {"class": "OpenAITimeoutError", "then": HELLO}


def test_instructor_gets_every_answer_in_shape(frameworks: Heard) -> None:
    told, person = frameworks("instructor"), {"name": "thread", "age": 7}
    assert told["modes"] == {"TOOLS": person, "JSON_SCHEMA": person}
    assert told["counted"]["person"] == person
    assert told["counted"]["usage"]["total_tokens"] > 1
    assert told["partial"][-1] == person
    assert len(told["partial"]) > 1
    assert_refused(told["errors"])


def test_a_real_model_is_held_to_the_shape(frameworks: Heard) -> None:
    told = frameworks("instructor")["of_a_real_model"]
    assert told["name"] in ("Ada", "Grace")
    assert isinstance(told["is_known"], bool)


def test_llm_prompts_streams_and_counts(frameworks: Heard) -> None:
    told = frameworks("llm")
    assert told["chat"] == {"text": HELLO, "usage": [3, 5]}
    assert len(told["stream"]["pieces"]) > 3
    assert ("".join(told["stream"]["pieces"]), told["stream"]["usage"]) == (HELLO, [3, 5])
    assert told["command"] == f"{HELLO}\n"


def test_llm_calls_tools_and_gets_shapes_and_errors(frameworks: Heard) -> None:
    told = frameworks("llm")
    assert told["tools"]["calls"] == [{"city": "thread"}]
    assert len(told["tools"]["then"].split()) == 3
    assert told["parsed"] == {"name": "thread", "age": 7}
    assert_refused(told["errors"])


@pytest.mark.parametrize("api", ["responses", "chat_completions"])
def test_agents_answer_over_both_apis(frameworks: Heard, api: str) -> None:
    told = frameworks("agents")[api]
    assert len(told["chat"]["text"].split()) == told["chat"]["usage"][1] == 5
    assert "".join(told["stream"]["said"]) == told["stream"]["text"] == HELLO
    assert len(told["stream"]["said"]) > 3
    assert told["stream"]["kinds"][0 :: len(told["stream"]["kinds"]) - 1] == ["response.created", "response.completed"]
    assert told["parsed"] == {"name": "thread", "age": 7}
    assert_refused(told["errors"])


@pytest.mark.parametrize("api", ["responses", "chat_completions"])
def test_agents_use_tools_and_hand_over(frameworks: Heard, api: str) -> None:
    told = frameworks("agents")[api]
    for way in ("tools", "tools_streamed"):
        assert told[way]["items"] == ["tool_call_item", "tool_call_output_item", "message_output_item"]
        assert len(told[way]["text"].split()) == 3
    assert told["handoff"]["last"] == "other"
    assert told["handoff"]["text"]


def test_openai_of_npm_lists_models_and_chats(node: Heard) -> None:
    told = node("openai")
    assert {"synthetic", "embedder", "acme/loom-1"} <= set(told["models"]["listed"])
    assert told["models"]["one"]["id"] == "acme/loom-1"
    assert told["chat"]["answer"]["choices"][0]["message"] == {"role": "assistant", "content": HELLO}
    assert told["chat"]["answer"]["usage"]["completion_tokens"] == 5
    assert told["chat"]["request"]
    assert len(told["completions"].split()) == 4


def test_openai_of_npm_streams(node: Heard) -> None:
    told = node("openai")
    *chunks, last = told["stream"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == HELLO
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 5)
    assert told["helper"]["text"] == "".join(told["helper"]["said"]) == HELLO


def test_openai_of_npm_reads_a_real_model_whole_and_streamed(node: Heard) -> None:
    told = node("openai")["of_a_real_model"]
    assert len(told["whole"].split()) > 1
    assert len(told["streamed"].split()) > 1


def test_openai_of_npm_calls_tools_and_gets_shapes_and_vectors(node: Heard) -> None:
    told = node("openai")
    assert told["tools"]["roles"] == ["user", "assistant", "tool", "assistant"]
    assert len(told["tools"]["text"].split()) == 3
    (call,) = told["streamed_tools"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"thread"}'}
    assert told["parsed"].keys() == {"name", "age"}
    silent, numbers = told["embeddings"]["silent"]["data"], told["embeddings"]["float"]["data"]
    for one, other in zip(silent, numbers, strict=True):
        assert one["embedding"] == pytest.approx(other["embedding"], abs=1e-6)
    assert [item["index"] for item in told["embeddings"]["tokens"]["data"]] == [0, 1]


def test_openai_of_npm_speaks_of_responses(node: Heard) -> None:
    told = node("openai")["responses"]
    assert told["text"] == told["last"]["output"][0]["content"][0]["text"] == HELLO
    assert told["kinds"][0] == "response.created"
    assert told["kinds"][-1] == "response.completed"


NODE_ERRORS = {
    "unknown_model": ("NotFoundError", 404, "no_provider", "model_not_found"),
    "wrong_key": ("AuthenticationError", 401, "not_authenticated", "invalid_api_key"),
    "broken_engine": ("InternalServerError", 502, "upstream_error", None),
    "images": ("NotFoundError", 404, "not_found", None),
    "speech": ("NotFoundError", 404, "not_found", None),
    "transcription": ("NotFoundError", 404, "not_found", None),
}


@pytest.mark.parametrize("case", NODE_ERRORS)
def test_openai_of_npm_knows_each_error(node: Heard, case: str) -> None:
    error = node("openai")["errors"][case]
    assert (error["class"], error["status"], error["type"], error["code"]) == NODE_ERRORS[case]
    assert error["requestID"]


def test_who_leaves_a_stream_or_stops_waiting_frees_the_slot(node: Heard) -> None:
    told = node("openai")
    assert told["left"] == told["patience"] == HELLO


WAYS = pytest.mark.parametrize("way", ["compatible", "chat", "responses"])


@WAYS
def test_vercel_generates_and_streams(node: Heard, way: str) -> None:
    told = node("vercel")[way]
    assert (told["chat"]["usage"]["outputTokens"], told["chat"]["finishReason"]) == (5, "stop")
    assert len(told["chat"]["text"].split()) == 5
    assert "".join(told["stream"]["said"]) == HELLO
    assert len(told["stream"]["said"]) > 3
    assert (told["stream"]["usage"]["outputTokens"], told["stream"]["end"]) == (5, "stop")
    assert told["left"] == HELLO


@WAYS
def test_vercel_calls_tools_and_gets_shapes(node: Heard, way: str) -> None:
    told = node("vercel")[way]
    assert told["tools"]["found"] == ["sunny in thread"]
    assert told["tools"]["text"] == "".join(told["tools"]["streamed"]["said"])
    assert "tool-result" in told["tools"]["streamed"]["kinds"]
    whole, streamed = told["parsed"]
    assert whole == streamed
    assert whole.keys() == {"name", "age"}


@WAYS
def test_vercel_knows_errors_in_time_and_in_a_stream(node: Heard, way: str) -> None:
    told = node("vercel")[way]
    assert (told["errors"]["unknown_model"]["status"], told["errors"]["wrong_key"]["status"]) == (404, 401)
    assert "unknown model 'nobody'" in told["errors"]["unknown_model"]["message"]
    assert (told["error_in_stream"]["end"], len(told["error_in_stream"]["said"])) == ("error", 4)
    assert told["error_in_stream"]["errors"] == ["the synthetic engine refused the prompt as it was told to"]


@pytest.mark.parametrize("package", ["compatible", "official"])
def test_vercel_gets_vectors(node: Heard, package: str) -> None:
    told = node("vercel")["embeddings"][package]
    assert [len(vector) for vector in told["embeddings"]] == [32, 32]
    assert told["usage"]["tokens"] == 2
