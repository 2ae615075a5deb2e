"""What may be part of a message, and what is too large for that and travels by reference."""

from __future__ import annotations

from typing import Final

import msgspec

from gridloom_contract.jobs import MAX_INLINE_BYTES

_MOST_ESCAPED: Final = 6
"""What JSON makes of one byte at most: `\\u0001`."""
_QUOTES: Final = 2


def is_large(text: str) -> bool:
    """Say whether a text's JSON exceeds `MAX_INLINE_BYTES`. Most texts are judged by their length alone."""
    if len(text) * _MOST_ESCAPED + _QUOTES <= MAX_INLINE_BYTES:
        return False
    return len(text) + _QUOTES > MAX_INLINE_BYTES or len(msgspec.json.encode(text)) > MAX_INLINE_BYTES
