"""What is an image, and which one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_domain.images import image_type


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
        (b"GIF87a....", "image/gif"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\n\n\n\nWEBPVP8L", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8X", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", None),
        (b"GIF88a", None),
        (b"\x89PNG\n\x1a\n", None),
        (b" \x89PNG\r\n\x1a\n", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"<!doctype html><script>", None),
        (b"%PDF-1.7", None),
        (b"BM\x00\x00", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_a_type_is_what_the_first_bytes_say(beginning: bytes, found: str | None) -> None:
    assert image_type(beginning) == found


@given(st.binary(max_size=64))
def test_any_bytes_have_a_type_or_none(beginning: bytes) -> None:
    assert image_type(beginning) in {"image/png", "image/jpeg", "image/gif", "image/webp", None}
