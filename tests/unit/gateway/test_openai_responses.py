"""The Responses API: a request becomes a chat, and what is said of it items and events, streamed or whole alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import Job, Task
from gridloom_contract.vocabulary import Kind, State, Usage
from gridloom_domain.completions import Json, fold, line_of
from gridloom_domain.errors import Invalid
from gridloom_gateway.dialects.openai.translate import jobs
from gridloom_gateway.dialects.openai.translate.requests import Manner, Wish
from gridloom_gateway.dialects.openai.translate.responses.conversation import ITEMS, messages_of
from gridloom_gateway.dialects.openai.translate.responses.events import ResponseEvents
from gridloom_gateway.dialects.openai.translate.responses.items import Teller, from_job
from gridloom_gateway.dialects.openai.translate.responses.requests import to_wish
from gridloom_gateway.dialects.openai.wire.responses import CreateResponse
from gridloom_gateway.frames import FrameReader
from gridloom_gateway.updates import Ended, StartedOver, Update
from gridloom_local.sse import SseParser
from gridloom_testing.builders import a_job, a_job_id

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
ENDINGS = ("response.completed", "response.incomplete", "response.failed")

words = st.text(max_size=6)


def wished(**body: Any) -> Wish:
    told = {"model": "m", "input": "Say hello"} | body
    return to_wish(msgspec.convert(told, CreateResponse), told)


def frames_of(texts: list[str], calls: list[str], reason: str = "stop") -> list[Json]:
    """What an engine says: words, then calls with these arguments in pieces, then how it ended."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
    for place, arguments in enumerate(calls):
        begin = {"index": place, "id": f"call_{place}", "function": {"name": "weather", "arguments": ""}}
        rest = [{"index": place, "function": {"arguments": letter}} for letter in arguments]
        deltas += [{"tool_calls": [piece]} for piece in (begin, *rest)]
    frames: list[Json] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return [*frames, {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}]


def a_chat(frames: list[Json], **changes: Any) -> Job:
    output = msgspec.json.encode(fold(frames)).decode()
    usual = {"state": State.SUCCEEDED, "task": Task(kind=Kind.CHAT, raw={}), "output": output, "attempt": 1}
    return a_job(**usual | changes)


def streamed(frames: list[Json], job: Job) -> list[Json]:
    """Return the events of a stream."""
    events = ResponseEvents(Teller(job.job, job.model, {"instructions": "Be brief."}))
    said = FrameReader().take("".join(map(line_of, frames)), 1)
    found: list[Update] = [*([said] if said else []), Ended(job, 0)]
    content = events.opening() + b"".join(events.of(update) for update in found)
    told = [(event.name, msgspec.json.decode(event.data)) for event in SseParser().feed(content)]
    assert all(name == body["type"] for name, body in told)
    return [body for _, body in told]


def test_everything_has_a_name_of_its_own_in_a_chat() -> None:
    wish = wished(
        instructions="Be brief.",
        max_output_tokens=5,
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        text={"format": {"type": "json_schema", "name": "person", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "low"},
        top_logprobs=2,
        temperature=0.5,
        top_p=0.9,
        store=True,
        include=["reasoning.encrypted_content"],
        nobody_knows={"this": 1},
    )
    assert (wish.kind, wish.manner) == (Kind.CHAT, Manner.WHOLE)
    assert wish.raw == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello"}],
        "max_completion_tokens": 5,
        "tools": [{"type": "function", "function": {name: TOOL[name] for name in ("name", "parameters", "strict")}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "person", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "logprobs": True,
        "top_logprobs": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "nobody_knows": {"this": 1},
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [7]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input"),
        ({"input": [{"role": "user", "content": ["hello"]}]}, "input"),
    ],
)
def test_what_needs_a_memory_or_an_engine_of_openais_is_refused(body: Json, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        wished(**body)
    assert caught.value.fault.field == field


def test_a_conversation_with_calls_and_pictures_is_one_of_a_chat() -> None:
    assert set(ITEMS) == {"message", "function_call", "function_call_output", "reasoning"}
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
    said = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "What is"}, {"type": "input_text", "text": "this?"}],
        },
        {"role": "user", "content": [{"type": "input_text", "text": "Look"}, picture]},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "c1", "name": "zoom", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "zoom", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "a loom"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a grid"}]},
    ]
    calls = [{"id": name, "type": "function", "function": {"name": "zoom", "arguments": "{}"}} for name in ("c1", "c2")]
    assert messages_of(None, said) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is\nthis?"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "a loom"},
        {"role": "tool", "tool_call_id": "c2", "content": "a grid"},
    ]


@given(st.lists(words, max_size=5), st.lists(words, max_size=3), st.sampled_from(["stop", "length", "tool_calls"]))
def test_a_stream_ends_with_the_response_that_would_have_come_whole(
    texts: list[str], calls: list[str], reason: str
) -> None:
    frames = frames_of(texts, calls, reason)
    job = a_chat(frames)
    told = streamed(frames, job)
    whole = msgspec.json.decode(msgspec.json.encode(from_job(job, {"instructions": "Be brief."})))

    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["type"] == ("response.incomplete" if reason == "length" else "response.completed")
    assert told[-1]["response"] == whole
    assert [event["type"] for event in told if event["type"] in ENDINGS] == [told[-1]["type"]]
    assert whole["usage"] == {
        "input_tokens": 2,
        "output_tokens": 3,
        "total_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


@given(st.lists(words, max_size=5), st.lists(words, max_size=3))
def test_every_item_is_opened_grows_and_is_closed(texts: list[str], calls: list[str]) -> None:
    frames = frames_of(texts, calls)
    told = streamed(frames, a_chat(frames))
    done = {event["output_index"]: event["item"] for event in told if event["type"] == "response.output_item.done"}
    deltas: dict[str, str] = {}
    for event in told:
        if event["type"].endswith(".delta"):
            deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["delta"]

    assert list(done.values()) == told[-1]["response"]["output"]
    assert [event["output_index"] for event in told if event["type"] == "response.output_item.added"] == list(done)
    for item in done.values():
        text = item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
        assert deltas.get(item["id"], "") == text


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (FaultCode.UPSTREAM, "server_error"),
        (FaultCode.NO_CAPACITY, "server_error"),
        (FaultCode.RATE_LIMITED, "rate_limit_exceeded"),
        (FaultCode.INVALID, "invalid_prompt"),
    ],
)
def test_a_failure_is_the_last_event(code: FaultCode, word: str) -> None:
    frames = frames_of(["loom"], [])[:2]
    fault = Fault(code=code, message="broken")
    told = streamed(frames, a_chat(frames, state=State.FAILED, error=fault))
    assert told[-1]["type"] == "response.failed"
    assert told[-1]["response"]["error"] == {"code": word, "message": "broken"}
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "loom"


def test_what_was_said_cannot_be_taken_back() -> None:
    events = ResponseEvents(Teller(a_job_id(), "m", {}))
    assert b"response.failed" in events.of(StartedOver(2))
    assert events.is_over


def test_what_is_answered_later_repeats_its_request_too() -> None:
    wish = wished(**{"async": True, "instructions": "Be brief.", "metadata": {"a": "b"}})
    assert wish.kept["response"] == {"instructions": "Be brief.", "metadata": {"a": "b"}}
    job = a_chat(frames_of(["loom"], []), echo=wish.kept, usage=Usage(tokens_in=1, tokens_out=1))
    document = msgspec.json.decode(msgspec.json.encode(jobs.from_job(job)))
    assert (document["result"]["object"], document["result"]["instructions"]) == ("response", "Be brief.")
