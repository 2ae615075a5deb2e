"""Text that came from an engine."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.jobs import Task
from gridloom_worker.text import estimated_usage, mended

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=50)


@given(ANYTHING)
def test_whatever_an_engine_says_can_be_sent(text: str) -> None:
    assert msgspec.json.decode(msgspec.json.encode(mended(text))) == mended(text)
    assert "\0" not in mended(text)


@given(ANYTHING)
def test_mending_keeps_every_offset(text: str) -> None:
    assert len(mended(text)) == len(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
def test_good_text_is_left_alone(text: str) -> None:
    assert mended(text) == text


def test_usage_nobody_counted_is_an_estimate_and_says_so() -> None:
    usage = estimated_usage(Task(messages=({"role": "user", "content": "12345678"},)), "1234")
    assert (usage.tokens_in, usage.tokens_out, usage.estimated) == (2, 1, True)


def test_content_in_parts_is_estimated_too() -> None:
    task = Task(messages=({"role": "user", "content": [{"type": "text", "text": "hello"}]}, {"role": "assistant"}))
    assert estimated_usage(task, "").tokens_in > 1
