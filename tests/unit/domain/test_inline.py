"""What may be part of a message."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from gridloom_contract.jobs import MAX_INLINE_BYTES
from gridloom_domain import inline


@pytest.mark.parametrize(
    ("text", "is_large"),
    [
        ("", False),
        ("x" * (MAX_INLINE_BYTES - 3), False),
        ("x" * (MAX_INLINE_BYTES - 2), False),
        ("x" * (MAX_INLINE_BYTES - 1), True),
        ("\U0001f600" * (MAX_INLINE_BYTES // 4 - 1), False),
        ("\U0001f600" * (MAX_INLINE_BYTES // 4), True),
        ("\x01" * (MAX_INLINE_BYTES // 6 - 1), False),
        ("\x01" * (MAX_INLINE_BYTES // 6 + 1), True),
        ('"' * (MAX_INLINE_BYTES // 2), True),
    ],
    ids=itertools.count(),
)
def test_a_text_is_large_if_its_json_is(text: str, is_large: bool) -> None:
    assert inline.is_large(text) is is_large
    assert is_large == (len(msgspec.json.encode(text)) > MAX_INLINE_BYTES)
