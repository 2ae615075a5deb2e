"""A document with one large text in it: encoded without the text, which is put in its place while it is written.

The bytes are those that the whole document would have had, and never all in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Final

import msgspec

from gridloom_contract.jobs import Job

PLACE: Final = token_hex(16)
"""Stands for the text. Nobody outside this process can know it, so nobody can have it in a document."""
_QUOTED: Final = f'"{PLACE}"'.encode()

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Rendered:
    """An encoded document. With `text_ref` it has a place for the text that is kept there, in a body if `is_body`."""

    content: bytes
    text_ref: str | None = None
    is_body: bool = False


def rendered(job: Job, translate: Callable[[Job], Any]) -> Rendered:
    """Return the document that `translate` makes of a job, encoded."""
    if job.output_ref is None:
        return Rendered(_encoder.encode(translate(job)))
    content = _encoder.encode(translate(with_place(job)))
    return Rendered(content, job.output_ref if has_place(content) else None, is_body=job.task.raw is not None)


def with_place(job: Job) -> Job:
    """Return a job whose output is an object, to be encoded with a place for it."""
    return msgspec.structs.replace(job, output=PLACE)


def has_place(document: bytes) -> bool:
    """Say whether an encoded document has a place for the text."""
    return _QUOTED in document


async def filled_each(
    document: bytes, openings: Sequence[AbstractAsyncContextManager[AsyncIterator[str]]]
) -> AsyncIterator[bytes]:
    """Yield an encoded document with several texts, each opened when it is its turn, in the order of their places."""
    head, *parts = document.split(_QUOTED)
    yield head
    for opening, part in zip(openings, parts, strict=True):
        yield b'"'
        async with opening as text:
            async for piece in text:
                yield _encoder.encode(piece)[1:-1]
        yield b'"' + part


async def filled(document: bytes, text: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield an encoded document with the text in its place."""
    head, _, tail = document.partition(_QUOTED)
    yield head + b'"'
    async for piece in text:
        if piece:
            yield _encoder.encode(piece)[1:-1]
    yield b'"' + tail
