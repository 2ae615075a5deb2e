"""Text that came from an engine."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_contract.jobs import Task
from gridloom_contract.vocabulary import Usage
from gridloom_worker.engines.engine import TokenCounts
from gridloom_worker.text import mended, usage_of

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


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (TokenCounts(tokens_in=7, tokens_out=3), Usage(tokens_in=7, tokens_out=3)),
        (TokenCounts(), Usage(tokens_in=2, tokens_out=1, estimated=True)),
        (TokenCounts(tokens_in=7), Usage(tokens_in=7, tokens_out=1, estimated=True)),
        (TokenCounts(tokens_out=3), Usage(tokens_in=2, tokens_out=3, estimated=True)),
        (TokenCounts(tokens_in=0, tokens_out=0), Usage(tokens_in=2, tokens_out=1, estimated=True)),
        (TokenCounts(tokens_in=-7, tokens_out=-3), Usage(tokens_in=2, tokens_out=1, estimated=True)),
    ],
)
def test_what_an_engine_did_not_count_is_estimated_and_says_so(counts: TokenCounts, usage: Usage) -> None:
    assert usage_of(counts, Task(messages=({"role": "user", "content": "12345678"},)), len("1234")) == usage


def test_nothing_is_counted_as_nothing() -> None:
    assert usage_of(TokenCounts(tokens_in=7, tokens_out=0), Task(prompt="12345678"), len("")) == Usage(
        tokens_in=7, tokens_out=0
    )
