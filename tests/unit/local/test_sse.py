"""Server-sent events, whatever the pieces in which they arrive."""

from __future__ import annotations

import pytest

from gridloom_local.sse import Event, SseParser

STREAM = (
    ': hello\n\nid: 1-0\nevent: state\ndata: {"status":"running"}\n\n'
    'id: 1-5\nevent: token\ndata: {"text":"héllo 🌍"}\n\ndata: a\ndata: b\n\n'
).encode()
EVENTS = [
    Event("state", '{"status":"running"}', "1-0"),
    Event("token", '{"text":"héllo 🌍"}', "1-5"),
    Event("message", "a\nb", "1-5"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_events_are_the_same_for_pieces_of_any_size(size: int) -> None:
    parser = SseParser()

    events = [event for start in range(0, len(STREAM), size) for event in parser.feed(STREAM[start : start + size])]

    assert events == EVENTS


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("size", [1, 1000])
def test_all_three_line_ends_are_understood(line_end: str, size: int) -> None:
    stream = f"event: token{line_end}data: x{line_end}{line_end}data: y{line_end}{line_end}:{line_end}".encode()
    parser = SseParser()

    events = [event for start in range(0, len(stream), size) for event in parser.feed(stream[start : start + size])]

    assert events == [Event("token", "x"), Event("message", "y")]


def test_an_event_without_data_is_none() -> None:
    assert list(SseParser().feed(b"event: token\n\n")) == []


def test_only_one_blank_belongs_to_the_syntax() -> None:
    assert list(SseParser().feed(b"data:  x\n\ndata:y\n\n")) == [Event("message", " x"), Event("message", "y")]
