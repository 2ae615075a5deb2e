"""What a reader has of a text, and what it still lacks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.work import TokenChunk
from gridloom_gateway.transcript import Ending, Transcript


def a_chunk(offset: int, text: str) -> TokenChunk:
    return TokenChunk(job="j", attempt=1, offset=offset, text=text)


def test_chunks_in_order_are_new_text() -> None:
    transcript = Transcript(1)

    assert [transcript.take(a_chunk(0, "ab")), transcript.take(a_chunk(2, "cd"))] == ["ab", "cd"]
    assert transcript.sent == 4


def test_what_was_heard_before_is_not_new() -> None:
    transcript = Transcript(1)
    transcript.take(a_chunk(0, "abcd"))

    assert transcript.take(a_chunk(0, "ab")) == ""
    assert transcript.take(a_chunk(2, "cdef")) == "ef"


def test_text_after_a_hole_waits() -> None:
    transcript = Transcript(1)
    transcript.take(a_chunk(0, "ab"))

    assert transcript.take(a_chunk(3, "d")) is None
    assert transcript.sent == 2


def test_the_end_brings_what_is_missing() -> None:
    transcript = Transcript(1)
    transcript.take(a_chunk(0, "ab"))

    assert transcript.finish(1, "abcd") == Ending("cd", starts_over=False)


def test_a_result_that_begins_differently_replaces_everything() -> None:
    transcript = Transcript(1)
    transcript.take(a_chunk(0, "ab"))

    assert transcript.finish(1, "xbcd") == Ending("xbcd", starts_over=True)
    assert transcript.finish(1, "a") == Ending("a", starts_over=True)
    assert transcript.finish(2, "abcd") == Ending("abcd", starts_over=True)


def test_a_reader_with_nothing_has_nothing_to_forget() -> None:
    assert Transcript(0).finish(3, "abcd") == Ending("abcd", starts_over=False)


def test_a_reader_that_resumed_gets_the_rest() -> None:
    transcript = Transcript(1, sent=2)
    transcript.take(a_chunk(0, "abc"))

    assert transcript.finish(1, "abcd") == Ending("d", starts_over=False)


@given(st.text(max_size=60), st.data())
def test_any_pieces_in_any_order_with_the_end_make_the_whole(text: str, data: st.DataObject) -> None:
    transcript, shown = Transcript(1), ""
    for _ in range(data.draw(st.integers(0, 8))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, len(text)))
        shown += transcript.take(a_chunk(start, text[start:stop])) or ""
        assert text.startswith(shown)
        assert len(shown) == transcript.sent

    ending = transcript.finish(1, text)

    assert (shown + ending.text, ending.starts_over) == (text, False)
