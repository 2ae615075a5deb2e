"""Server-sent events out of bytes."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_worker.engines.sse import SseEvent, SseOverflow, SseParser

SCRAPS = st.sampled_from(
    (
        *(b'data: {"a": 1}', b"data:x", b"data", b"data: ", b"data: \xc3", b"\xa9", b" "),
        *(b": comment", b"event: error", b"error: no", b"id: 7", b"retry: 1", b"nonsense", b"\xef\xbb\xbf"),
        *(b"\n", b"\r", b"\r\n", b"\n\n"),
    )
)


def events_of(stream: bytes, *cuts: int) -> list[SseEvent]:
    """Parse a stream that comes in pieces."""
    parser = SseParser(max_event_bytes=10_000)
    edges = [0, *sorted(cuts), len(stream)]
    events = [event for start, end in pairwise(edges) for event in parser.feed(stream[start:end])]
    return events + parser.close()


def data_of(stream: bytes) -> list[bytes]:
    return [event.data for event in events_of(stream)]


@given(st.lists(SCRAPS, max_size=20).map(b"".join), st.data())
def test_the_events_do_not_depend_on_how_the_stream_is_cut(stream: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert events_of(stream, *cuts) == events_of(stream)


@given(st.lists(SCRAPS, max_size=20).map(b"".join))
def test_one_byte_at_a_time_gives_the_same(stream: bytes) -> None:
    assert events_of(stream, *range(len(stream))) == events_of(stream)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_end_is_known(end: bytes) -> None:
    assert data_of(b"data: one" + end * 2 + b"data: two" + end * 2) == [b"one", b"two"]


def test_comments_and_unknown_fields_say_nothing() -> None:
    assert data_of(b": keep-alive\n\nid: 4\nretry: 10\ndata: x\n\n") == [b"x"]


def test_the_blank_after_the_colon_is_optional_and_only_one_is_taken() -> None:
    assert data_of(b"data:x\n\ndata:  y\n\n") == [b"x", b" y"]


def test_data_lines_of_one_event_are_joined() -> None:
    assert data_of(b"data: a\ndata: b\n\n") == [b"a\nb"]


def test_an_event_has_a_name() -> None:
    assert events_of(b"event: error\ndata: x\n\ndata: y\n\n") == [SseEvent(b"error", b"x"), SseEvent(b"", b"y")]


def test_an_error_field_is_an_error_event() -> None:
    assert events_of(b'error: {"code": 500}\n\n') == [SseEvent(b"error", b'{"code": 500}')]


@pytest.mark.parametrize("stream", [b"data: last", b"data: last\n"])
def test_the_last_event_counts_without_its_blank_line(stream: bytes) -> None:
    assert data_of(stream) == [b"last"]


def test_a_line_without_end_does_not_eat_memory() -> None:
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(SseOverflow):
        deque(map(parser.feed, [b"x" * 100] * 1000), maxlen=0)


def test_an_event_without_end_does_not_eat_memory() -> None:
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(SseOverflow):
        deque(map(parser.feed, [b"data: 0123456789\n"] * 1000), maxlen=0)
