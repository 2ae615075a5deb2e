"""Frames as one reader gets them: live, resumed, or made of the stored answer when the stream is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.fault import FaultError
from gridloom_contract.jobs import Job, Task
from gridloom_contract.vocabulary import State
from gridloom_domain.completions import Json, fold, line_of, said_in, text_of
from gridloom_gateway import frames as frames_module
from gridloom_gateway.frames import FrameReader, ending_of, text_of_body
from gridloom_gateway.updates import Ended, Frame, Position, Said, StartedOver, Update, id_of, position_in
from gridloom_testing.builders import a_job


def frame(content: str, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}


FRAMES = [frame("Nile"), frame(", "), frame("Amazon"), frame("", "stop"), {"choices": [], "usage": {"x": 1}}]
STREAM = "".join(map(line_of, FRAMES))
BODY = fold(FRAMES)
CALL = {"index": 0, "message": {"content": None, "tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}}


def ended(body: Json = BODY, streamed: int | None = len(STREAM), **changes: Any) -> Job:
    output = msgspec.json.encode(body).decode()
    usual = {"task": Task(raw={}), "state": State.SUCCEEDED, "attempt": 1, "worker": "w", "output": output}
    return a_job(**(usual | {"streamed_characters": streamed} | changes))


@asynccontextmanager
async def nothing(ref: str) -> AsyncIterator[AsyncIterator[str]]:
    raise AssertionError(f"nobody should look for {ref}")
    yield


def finish(reader: FrameReader, job: Job) -> list[Update]:
    return asyncio.run(ending_of(job, reader, nothing))


def shown(updates: list[Update]) -> tuple[str, Json]:
    """Return the text a reader is shown, and what its frames fold into."""
    said = [update for update in updates if isinstance(update, Said)]
    frames = [msgspec.json.decode(frame.line) for one in said for frame in one.frames]
    return "".join(one.text for one in said), fold(frames)


@given(st.lists(st.integers(1, 60), min_size=1))
def test_a_reader_gets_whole_frames_however_they_arrive(lengths: list[int]) -> None:
    reader, updates, rest = FrameReader(), [], STREAM
    while rest:
        for length in lengths:
            said = reader.take(rest[:length], 1)
            updates += [said] if said else []
            rest = rest[length:]
    assert shown(updates) == ("Nile, Amazon", BODY)
    assert (reader.sent, reader.content) == (len(STREAM), len("Nile, Amazon"))
    job = ended()
    assert not reader.lacks(job)
    assert finish(reader, job) == [Ended(job, len(STREAM), 12)]


@given(st.integers(0, len(FRAMES)))
def test_a_reader_resumes_where_it_was_cut_off(count: int) -> None:
    first, reader = "".join(map(line_of, FRAMES[:count])), FrameReader()
    reader.take(first, 1)
    said = Said("", 1, reader.sent, (Frame("{}", "", reader.sent, reader.content),), reader.content)
    position = position_in(id_of(said))
    assert position == Position(1, reader.sent, reader.content)
    again = FrameReader(position.sent, position.content)
    updates = [again.take(STREAM[reader.sent :], 1)]
    text = "".join(map(said_in, FRAMES[count:]))
    if updates[0] is not None:
        assert shown(updates)[0] == text  # type: ignore[arg-type]
    assert not again.lacks(ended())


def test_a_reader_with_too_little_lacks_what_the_stream_may_still_have() -> None:
    reader = FrameReader()
    reader.take(line_of(FRAMES[0]), 1)
    assert reader.lacks(ended())
    assert not reader.lacks(ended(data_removed=True))
    assert not reader.lacks(ended(state=State.FAILED))


@given(st.integers(0, 3))
def test_frames_that_are_gone_are_made_of_the_body(count: int) -> None:
    reader = FrameReader()
    before = reader.take("".join(map(line_of, FRAMES[:count])), 1)
    updates = finish(reader, ended())
    assert [type(update) for update in updates] == [Said, Ended]
    text, body = shown([*([before] if before else []), *updates])
    assert (text, body) == ("Nile, Amazon", BODY)


def test_a_reader_that_got_a_body_resumes_within_it() -> None:
    reader = FrameReader()
    [said, _] = finish(reader, ended())
    assert isinstance(said, Said)
    position = position_in(id_of(said))
    assert position == Position(1, 0, 12)
    again = FrameReader(position.sent, position.content)
    assert not again.lacks(ended())
    assert shown(finish(again, ended()))[0] == ""


def test_an_answer_that_contradicts_its_frames_replaces_them() -> None:
    reader = FrameReader()
    reader.take(STREAM, 1)
    body = {"choices": [{"index": 0, "message": {"content": "Danube"}, "finish_reason": "stop"}]}
    updates = finish(reader, ended(body))
    assert updates[0] == StartedOver(1)
    assert shown(updates)[0] == "Danube"


def test_calls_of_tools_that_are_known_in_part_are_told_again_from_the_start() -> None:
    reader = FrameReader()
    reader.take(line_of(FRAMES[0]), 1)
    body = {"choices": [{**CALL, "message": {**CALL["message"], "content": "Nile"}}]}
    updates = finish(reader, ended(body))
    assert updates[0] == StartedOver(1)


def test_calls_of_tools_of_which_nothing_is_known_are_told() -> None:
    updates = finish(FrameReader(), ended({"choices": [CALL]}, streamed=999))
    assert [type(update) for update in updates] == [Said, Ended]
    assert shown(updates)[1]["choices"][0]["message"]["tool_calls"] == CALL["message"]["tool_calls"]


def test_embeddings_have_no_frames_and_end_at_once() -> None:
    job = ended({"data": [{"embedding": "AACAPw=="}]}, streamed=0)
    assert finish(FrameReader(), job) == [Ended(job, 0, 0)]


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELED])
def test_a_job_without_an_answer_just_ends(state: State) -> None:
    job = ended(state=state, output=None, streamed=None)
    assert finish(FrameReader(), job) == [Ended(job, 0, 0)]


def test_who_has_all_frames_of_a_large_answer_needs_no_look_at_it() -> None:
    reader = FrameReader()
    reader.take(STREAM, 1)
    job = ended(output=None, output_ref="output/x")
    assert finish(reader, job) == [Ended(job, len(STREAM), 12)]


async def test_a_large_body_is_fetched_where_its_frames_are_gone() -> None:
    @asynccontextmanager
    async def opened(_ref: str) -> AsyncIterator[AsyncIterator[str]]:
        yield pieces(msgspec.json.encode(BODY).decode())

    updates = await ending_of(ended(output=None, output_ref="output/x"), FrameReader(), opened)
    assert shown(updates)[0] == text_of(BODY)
    async with text_of_body(opened, "output/x") as text:
        assert [piece async for piece in text] == ["Nile, Amazon"]


async def pieces(text: str) -> AsyncIterator[str]:
    for start in range(0, len(text), 7):
        yield text[start : start + 7]


async def test_a_body_beyond_all_bounds_is_not_gathered() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "x" * 10_000_000

    with pytest.raises(FaultError, match="too large"):
        await frames_module.whole_text(endless())


@pytest.mark.parametrize("nonsense", ["oops\n", "[1]\n", "\n\n", '{"choices": 7}\n', '{"choices":[{"delta":7}]}\n'])
def test_nonsense_of_a_worker_is_no_text(nonsense: str) -> None:
    said = FrameReader().take(nonsense, 1)
    assert said is None or said.text == ""
