"""What every message on the bus has in common: immutable, tagged, and JSON on the wire.

The wire format is JSON: msgspec reads and writes it as fast as a binary format, `nats sub` shows it to a
person, and a worker in any language can be written without a code generator.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

M = TypeVar("M", bound="Message")

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time. One without its zone is refused."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A message on the bus.

    Its tag is `noun.verb.version`; a breaking change is a new tag, a new field has a default.
    """


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a message that is never sent on its own."""


class GrowingEnum(StrEnum):
    """An enumeration that may grow: a value this version does not know decodes as `unknown` instead of failing."""

    @classmethod
    def _missing_(cls, value: object) -> GrowingEnum | None:
        return cls.__members__.get("UNKNOWN") if isinstance(value, str) else None


_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """Return the bytes of `message` as they go over the bus."""
    return _encoder.encode(message)


def tag_of(message: type[Message]) -> str:
    """Return the tag of a message class, for example `job.submit.1`."""
    return str(message.__struct_config__.tag)
