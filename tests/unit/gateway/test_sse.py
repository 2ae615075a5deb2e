"""Server-sent events on the wire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import decode

from gridloom_gateway import sse
from gridloom_gateway.dialects.native.wire import TokenEvent
from gridloom_local.sse import SseParser


def test_an_event_has_a_name_an_id_and_one_line_of_data() -> None:
    assert sse.frame("token", TokenEvent(text="a\nb"), "1-3") == b'event: token\nid: 1-3\ndata: {"text":"a\\nb"}\n\n'


def test_an_event_without_an_id_keeps_the_readers_position() -> None:
    assert sse.frame("token", TokenEvent(text="x")) == b'event: token\ndata: {"text":"x"}\n\n'


def test_line_ends_that_are_legal_in_json_are_escaped() -> None:
    frame = sse.frame("token", TokenEvent(text="\u2028\u2029\u0085é"), "1-4")

    assert b'{"text":"\\u2028\\u2029\\u0085\xc3\xa9"}' in frame


def test_a_heartbeat_is_a_comment() -> None:
    assert list(SseParser().feed(sse.HEARTBEAT)) == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    frame = sse.frame("token", TokenEvent(text=text), "1-1")
    (event,) = SseParser().feed(frame)

    assert decode(event.data) == {"text": text}
    assert len(frame.decode().splitlines()) == 4
