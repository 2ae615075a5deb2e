"""Job ids: 128 time-ordered bits, rendered in the four ways the public APIs spell them.

The canonical form, used on the bus and in MongoDB, is 32 lowercase hexadecimal digits. Every `from_…` accepts exactly
what the matching `as_…` produces and raises ValueError for anything else, so that one job has one name per API.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from hashlib import blake2b
from uuid import UUID

PREFIX = "job_"
RANDOM_BYTES = 10
"""How much chance `new_id` takes. Six of these 80 bits give way to the version and variant of a UUIDv7."""

_HEX = re.compile(r"[0-9a-f]{32}", re.ASCII)
_BASE32 = re.compile(r"[a-z2-7]{26}", re.ASCII)
_BASE32_PADDING = "======"
_MAX_MS = 2**48 - 1
_VERSION_MASK, _VERSION_7 = 0xF << 76, 0x7 << 76
_VARIANT_MASK, _VARIANT_RFC = 0x3 << 62, 0x2 << 62


def new_id(now_ms: int, randomness: bytes) -> str:
    """Return a new id of the millisecond `now_ms` (since 1970); ids of a later millisecond compare greater.

    `randomness` is `RANDOM_BYTES` bytes of a cryptographic source. As a UUID the id is a version 7 (RFC 9562 §5.7).
    Raises ValueError if the time does not fit 48 bits or the randomness has another length.
    """
    if not 0 <= now_ms <= _MAX_MS:
        raise ValueError(f"time {now_ms} ms does not fit 48 bits")
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, not {len(randomness)}")
    value = now_ms << 80 | int.from_bytes(randomness, "big")
    value = value & ~_VERSION_MASK | _VERSION_7
    value = value & ~_VARIANT_MASK | _VARIANT_RFC
    return f"{value:032x}"


def derived(job: str, number: int) -> str:
    """Return the id of something that was made together with `job`: the same for the same number, at the same time."""
    told = blake2b(f"{from_hex(job)} {number}".encode(), digest_size=RANDOM_BYTES).digest()
    return new_id(created_ms(job), told)


def created_ms(job: str) -> int:
    """Return the millisecond (since 1970) in which the id was made."""
    return int(from_hex(job), 16) >> 80


def as_hex(job: str) -> str:
    """Return the id as 32 lowercase hexadecimal digits, the form it has already."""
    return from_hex(job)


def as_uuid(job: str) -> str:
    """Return the id as a lowercase UUID with dashes."""
    return str(UUID(hex=from_hex(job)))


def as_prefixed(job: str) -> str:
    """Return the id as `job_` and 32 hexadecimal digits."""
    return PREFIX + from_hex(job)


def as_base32(job: str) -> str:
    """Return the id as 26 lowercase characters of RFC 4648 base32. The only form that does not sort by time."""
    return b32encode(bytes.fromhex(from_hex(job))).decode("ascii").removesuffix(_BASE32_PADDING).lower()


def from_hex(text: str) -> str:
    """Return the id written as 32 lowercase hexadecimal digits, or raise ValueError."""
    if not _HEX.fullmatch(text):
        raise ValueError(f"not an id of 32 lowercase hexadecimal digits: {text[:64]!r}")
    return text


def from_uuid(text: str) -> str:
    """Return the id written as a lowercase UUID with dashes, or raise ValueError."""
    job = text.replace("-", "")
    if not _HEX.fullmatch(job) or as_uuid(job) != text:
        raise ValueError(f"not a lowercase UUID: {text[:64]!r}")
    return job


def from_prefixed(text: str) -> str:
    """Return the id written as `job_` and 32 hexadecimal digits, or raise ValueError."""
    if not text.startswith(PREFIX):
        raise ValueError(f"an id starts with {PREFIX!r}: {text[:64]!r}")
    return from_hex(text.removeprefix(PREFIX))


def from_base32(text: str) -> str:
    """Return the id written as 26 characters of base32, or raise ValueError.

    26 characters hold two bits more than an id; they must be zero, or one job would have four names.
    """
    if not _BASE32.fullmatch(text):
        raise ValueError(f"not an id of 26 lowercase base32 characters: {text[:64]!r}")
    job = b32decode(text.upper() + _BASE32_PADDING).hex()
    if as_base32(job) != text:
        raise ValueError(f"stray bits at the end of the id: {text!r}")
    return job
