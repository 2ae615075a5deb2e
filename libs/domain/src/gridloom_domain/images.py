"""Images: which there are, and how to tell by their first bytes."""

from __future__ import annotations

import re

SNIFFED_BYTES = 64
"""How much of an image tells its type."""

_IMAGES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),  # W3C PNG §5.2
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),  # ITU T.81 §B.1
    ("image/gif", re.compile(rb"GIF8[79]a")),  # GIF89a §17
    ("image/webp", re.compile(rb"RIFF....WEBPVP", re.DOTALL)),  # RFC 9649 §2.4
)


def image_type(beginning: bytes) -> str | None:
    """Return the media type of an image by its first bytes (the WHATWG's list); None if it is none we know."""
    return next((name for name, magic in _IMAGES if magic.match(beginning)), None)
