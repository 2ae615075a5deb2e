"""The stream of the OpenAI surface: whatever an engine says comes through, named, once, and ends as it must."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import Fault, FaultCode
from gridloom_contract.jobs import Job, Task
from gridloom_contract.vocabulary import Kind, State, Usage
from gridloom_domain.completions import Json, fold, line_of, text_of
from gridloom_gateway import updates
from gridloom_gateway.dialects.openai.translate import chunks
from gridloom_gateway.dialects.openai.translate.names import Names
from gridloom_gateway.dialects.openai.translate.responses import events
from gridloom_gateway.frames import FrameReader
from gridloom_gateway.unbroken import Retelling
from gridloom_gateway.updates import Closing, Ended, Moved, Position, Said, Silent, StartedOver, position_in
from gridloom_local.sse import SseParser
from gridloom_testing.builders import a_job, a_job_id

DONE = "[DONE]"

words = st.text(max_size=6)
calls = st.lists(st.builds(lambda name, told: (name, told), st.text("abc", min_size=1, max_size=4), words), max_size=3)


def text_frame(text: str, index: int = 0, **more: Any) -> Json:
    return {"choices": [{"index": index, "delta": {"content": text} | more, "finish_reason": None}]}


def end_frame(reason: str = "stop", index: int = 0) -> Json:
    return {"choices": [{"index": index, "delta": {}, "finish_reason": reason}]}


def call_frames(place: int, name: str, arguments: str) -> list[Json]:
    begin = {"index": place, "id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [begin, *({"index": place, "function": {"arguments": letter}} for letter in arguments)]
    return [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]} for piece in pieces]


@st.composite
def streams(draw: st.DrawFn) -> list[Json]:
    """What an engine says: who speaks or not, words, calls, an end, counts or not."""
    frames: list[Json] = [text_frame("", role="assistant")] if draw(st.booleans()) else []
    frames += [text_frame(word) for word in draw(st.lists(words, max_size=8))]
    for place, (name, arguments) in enumerate(draw(calls)):
        frames += call_frames(place, name, arguments)
    frames.append(end_frame())
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "x_more": {"cached": 1}}
    return [*frames, {"choices": [], "usage": usage}] if draw(st.booleans()) else frames


def said_of(frames: list[Json], sizes: list[int] | None = None) -> list[Said]:
    """Return updates for frames that arrive in pieces of these sizes."""
    reader, text = FrameReader(), "".join(line_of(frame) for frame in frames)
    found, sizes = [], sizes or [len(text)]
    while text:
        size = max(1, sizes[len(found) % len(sizes)])
        if (said := reader.take(text[:size], 1)) is not None:
            found.append(said)
        text, sizes = text[size:], sizes[1:] + sizes[:1]
    return found


def succeeded(**changes: Any) -> Job:
    usage = Usage(tokens_in=3, tokens_out=4)
    task = Task(kind=Kind.CHAT, raw={})
    return a_job(**{"state": State.SUCCEEDED, "task": task, "attempt": 1, "usage": usage} | changes)


def stream_of(found: list[updates.Update], **options: Any) -> tuple[list[Json], bool]:
    """Return all that a reader gets, and whether it was told that this was all."""
    writer = chunks.Chunks(Names(a_job_id(), options.pop("kind", Kind.CHAT), "m"), **{"wants_usage": False} | options)
    content = writer.opening() + b"".join(writer.of(update) for update in found)
    told = [event.data for event in SseParser().feed(content)]
    assert DONE not in told[:-1]
    return [msgspec.json.decode(data) for data in told if data != DONE], told[-1:] == [DONE]


def text_in(told: list[Json]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in told for choice in chunk["choices"])


def test_every_update_has_a_place_in_both_kinds_of_streams() -> None:
    assert set(chunks.EVENTS) == set(events.EVENTS) == set(get_args(updates.Update))


@given(streams(), st.lists(st.integers(1, 60), min_size=1, max_size=6), st.booleans())
def test_what_an_engine_says_comes_through_and_folds_to_the_same(
    frames: list[Json], sizes: list[int], wants_usage: bool
) -> None:
    told, is_done = stream_of([*said_of(frames, sizes), Ended(succeeded(), 0)], wants_usage=wants_usage)

    names = ("id", "object", "created", "model")
    folded = fold({name: value for name, value in chunk.items() if name not in names} for chunk in told)
    expected = fold([text_frame("", role="assistant"), *frames])
    counted = expected.pop("usage", {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    assert is_done
    assert folded.pop("usage", None) == (counted if wants_usage else None)
    assert folded == expected


@given(streams())
def test_every_chunk_has_the_same_names_and_who_speaks_is_said_once(frames: list[Json]) -> None:
    told, _ = stream_of([*said_of(frames), Ended(succeeded(), 0)])

    assert len({(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in told}) == 1
    roles = [choice["delta"]["role"] for chunk in told for choice in chunk["choices"] if "role" in choice["delta"]]
    assert roles == ["assistant"]
    assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


@given(streams())
def test_with_counts_wanted_the_last_chunk_alone_has_them(frames: list[Json]) -> None:
    *told, last = stream_of([*said_of(frames), Ended(succeeded(), 0)], wants_usage=True)[0]
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] in (1, 3)
    assert [chunk["usage"] for chunk in told] == [None] * len(told)


def test_counts_that_come_with_every_chunk_are_told_at_the_end() -> None:
    frames = [text_frame(word) | {"usage": {"total_tokens": place}} for place, word in enumerate(("a", "b"))]
    told, _ = stream_of([*said_of([*frames, end_frame()]), Ended(succeeded(), 0)], wants_usage=True)
    assert text_in(told) == "ab"
    assert [chunk["usage"] for chunk in told] == [None] * 4 + [{"total_tokens": 1}]


def test_each_choice_has_its_own_speaker() -> None:
    frames = [text_frame("", index, role="assistant") for index in (0, 1)] + [text_frame("b", 1), text_frame("a")]
    told, _ = stream_of([*said_of(frames), Ended(succeeded(), 0)])
    roles = [(choice["index"], "role" in choice["delta"]) for chunk in told for choice in chunk["choices"]]
    assert roles == [(0, True), (1, True), (1, False), (0, False)]


def test_lines_of_other_alphabets_stay_one_line() -> None:
    writer = chunks.Chunks(Names(a_job_id(), Kind.CHAT, "m"), wants_usage=False)
    (said,) = said_of([text_frame("a\u2028b\u0085c")])
    assert b"a\\u2028b\\u0085c" in writer.of(said)


def test_a_reader_resumes_behind_the_last_event() -> None:
    writer = chunks.Chunks(Names(a_job_id(), Kind.CHAT, "m"), wants_usage=False)
    first, second = said_of([text_frame("loom"), text_frame("grid")], [len(line_of(text_frame("loom")))])
    assert [event.id for event in SseParser().feed(writer.of(first) + writer.of(second))] == [
        f"1-{first.sent}-4",
        f"1-{second.sent}-8",
    ]


@given(streams(), st.lists(st.integers(1, 200), min_size=1, max_size=4), st.data())
def test_wherever_a_reader_is_cut_off_it_resumes_with_what_it_lacks(
    frames: list[Json], sizes: list[int], data: st.DataObject
) -> None:
    writer = chunks.Chunks(Names(a_job_id(), Kind.CHAT, "m"), wants_usage=False)
    events = list(SseParser().feed(b"".join(map(writer.of, said_of(frames, sizes)))))
    had = events[: data.draw(st.integers(0, len(events)))]
    start = position_in(had[-1].id if had else None) or Position(1, 0, 0)

    reader = FrameReader(start.sent, start.content)
    rest = reader.take("".join(map(line_of, frames))[start.sent :], 1)
    again = chunks.Chunks(Names(a_job_id(), Kind.CHAT, "m"), wants_usage=False, start=start)
    told = [*had, *(SseParser().feed(again.of(rest)) if rest else [])]

    names = ("id", "object", "created", "model", "usage")
    whole = fold(
        {name: value for name, value in msgspec.json.decode(event.data).items() if name not in names} for event in told
    )
    expected = fold(frames)
    assert text_of(whole) == text_of(expected)
    assert whole["choices"][0].get("finish_reason") == expected["choices"][0]["finish_reason"]
    assert whole["choices"][0]["message"].get("tool_calls") == expected["choices"][0]["message"].get("tool_calls")


def test_signs_of_life_are_no_events_to_a_reader_that_takes_empty_lines_for_them() -> None:
    assert chunks.Chunks(Names(a_job_id(), Kind.CHAT, "m"), wants_usage=False).of(Silent()) == b":\n"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"state": State.FAILED, "error": Fault(code=FaultCode.UPSTREAM, message="broken")}, "upstream_error"),
        ({"state": State.FAILED, "error": Fault(code=FaultCode.NO_CAPACITY, message="busy")}, "unavailable"),
        ({"state": State.CANCELED, "reason": "user"}, "conflict"),
        ({"state": State.CANCELED, "reason": "timeout"}, "upstream_error"),
    ],
)
def test_a_failure_is_the_last_event_and_the_end_is_not_said(changes: dict[str, Any], kind: str) -> None:
    told, is_done = stream_of([*said_of([text_frame("loom")]), Ended(succeeded(**changes), 0)])
    assert (told[-1]["error"]["type"], told[-1]["detail"], is_done) == (kind, told[-1]["error"]["message"], False)


def test_a_gateway_that_stops_says_nothing_more() -> None:
    told, is_done = stream_of([Moved(State.QUEUED, 0), *said_of([text_frame("loom")]), Closing()])
    assert (text_in(told), is_done) == ("loom", False)


def test_plain_text_becomes_chunks() -> None:
    job = succeeded(task=Task(prompt="Say hello"), finish_reason="length")
    told, is_done = stream_of([Said("lo", 1, 2), Said("om", 1, 4), Ended(job, 4)])
    assert (text_in(told), is_done) == ("loom", True)
    assert told[-1]["choices"][0]["finish_reason"] == "length"


def again(*sequences: list[Json], start: Position | None = None, attempt: int = 2) -> tuple[list[Json], bool]:
    """Return what a reader gets of an answer that starts over, once for each sequence but the first."""
    found: list[updates.Update] = []
    for frames in sequences:
        found += [StartedOver(attempt)] if found or start else []
        found += said_of(frames)
    return stream_of(Retelling(start).of([*found, Ended(succeeded(), 0)]), start=start)


@given(st.lists(words.filter(bool), min_size=1, max_size=8), st.data())
def test_an_answer_that_starts_over_and_says_the_same_again_goes_on_unnoticed(
    told: list[str], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(told)))
    text = "".join(told)
    size = data.draw(st.integers(1, max(1, len(text))))
    otherwise_cut = [text[start : start + size] for start in range(0, len(text), size)]

    first = [text_frame("", role="assistant"), *map(text_frame, told[:cut])]
    second = [text_frame("", role="assistant"), *map(text_frame, otherwise_cut), end_frame()]
    found, is_done = again(first, second)

    assert (text_in(found), is_done) == (text, True)
    assert [chunk for chunk in found if "error" in chunk] == []


@pytest.mark.parametrize(
    "second",
    [
        [text_frame("loom other"), end_frame()],
        [text_frame("lo"), end_frame()],
        [*call_frames(0, "weather", "{}"), end_frame()],
    ],
)
def test_an_answer_that_starts_over_and_says_something_else_ends_with_an_error(second: list[Json]) -> None:
    found, is_done = again([text_frame("loom "), text_frame("grid")], second)
    assert (found[-1]["error"]["type"], is_done) == ("upstream_error", False)


def test_calls_cannot_be_taken_back() -> None:
    begun = call_frames(0, "weather", "{")
    found, is_done = again(begun, [*call_frames(0, "weather", "{}"), end_frame("tool_calls")])
    assert (found[-1]["error"]["type"], is_done) == ("upstream_error", False)


def test_a_call_within_what_is_repeated_is_something_else() -> None:
    second = [text_frame("loom "), *call_frames(0, "weather", "{}"), text_frame("grid"), end_frame()]
    found, is_done = again([text_frame("loom "), text_frame("grid")], second)
    assert (found[-1]["error"]["type"], is_done) == ("upstream_error", False)


def test_the_end_comes_through_with_the_last_word_that_was_known() -> None:
    last = {"choices": [{"index": 0, "delta": {"content": "grid"}, "finish_reason": "length"}]}
    found, is_done = again([text_frame("loom "), text_frame("grid")], [text_frame("loom "), last])
    assert (text_in(found), is_done) == ("loom grid", True)
    assert found[-1]["choices"][0]["finish_reason"] == "length"


def test_a_reader_that_resumed_within_a_stored_answer_is_told_what_it_lacks() -> None:
    found, is_done = again([text_frame("loom grid"), end_frame()], start=Position(1, 0, 5), attempt=1)
    assert (text_in(found), is_done) == ("grid", True)


def test_a_reader_that_resumed_elsewhere_is_not_told_another_attempt() -> None:
    found, is_done = again([text_frame("loom grid"), end_frame()], start=Position(1, 90, 5))
    assert (found[-1]["error"]["type"], is_done) == ("upstream_error", False)
