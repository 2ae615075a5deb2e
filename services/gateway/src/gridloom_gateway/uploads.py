"""Uploads by form: a file goes to disk as it comes, so that nobody's upload takes memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import BodyPartReader, MultipartReader, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gridloom_domain.errors import Invalid, RequestTimeout, UnsupportedMedia
from gridloom_gateway.library import too_large
from gridloom_gateway.reading import Malformed

T = TypeVar("T")

_PIECE_BYTES: Final = 256 * 1024
_MOST_FIELD_BYTES: Final = 1024
_FILE: Final = "file"


@dataclass
class Form:
    """What came: the file under `path`, and the fields."""

    path: Path
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None


@dataclass(frozen=True)
class FormReader:
    """Reads forms with one file into a folder. Something must come within `silence_seconds`."""

    folder: Path
    most_bytes: int
    silence_seconds: float

    async def read(self, request: web.Request, known: Collection[str], body: bytes | None = None) -> Form:
        """Return the form. Fields that are not `known` are ignored. With `body` it was read before.

        Raises `UnsupportedMedia`, `Malformed`, `Invalid` (no file), `TooLarge` or `RequestTimeout`.
        """
        if not request.headers.get(hdrs.CONTENT_TYPE, "").lower().startswith("multipart/form-data"):
            raise UnsupportedMedia("send a file as multipart/form-data")
        try:
            return await self._parts(MultipartReader(request.headers, _content_of(request, body)), known)
        except TimeoutError:
            raise RequestTimeout(f"nothing arrived within {self.silence_seconds:g} seconds") from None
        except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as error:
            raise Malformed(f"the form cannot be read: {str(error)[:200]}") from None

    async def _parts(self, reader: MultipartReader, known: Collection[str]) -> Form:
        form = Form(self.folder / _FILE)
        while part := await self._timed(reader.next()):
            if not isinstance(part, BodyPartReader):
                raise Malformed("a form has no forms inside")
            if part.name == _FILE:
                form.file_name = part.filename or _FILE
                await self._save(part, form.path)
            elif part.name in known:
                form.fields[part.name or ""] = await self._text(part)
            else:
                await self._timed(part.release())
        if form.file_name is None:
            raise Invalid("a file is missing", _FILE)
        return form

    async def _save(self, part: BodyPartReader, path: Path) -> None:
        size_bytes = 0
        with await asyncio.to_thread(path.open, "wb") as file:
            while piece := await self._timed(part.read_chunk(_PIECE_BYTES)):
                size_bytes += len(piece)
                if size_bytes > self.most_bytes:
                    raise too_large(self.most_bytes)
                await asyncio.to_thread(file.write, piece)

    async def _text(self, part: BodyPartReader) -> str:
        found = bytearray()
        while piece := await self._timed(part.read_chunk(_MOST_FIELD_BYTES)):
            found += piece
            if len(found) > _MOST_FIELD_BYTES:
                raise Invalid(f"{part.name} is too long", part.name)
        return found.decode()

    async def _timed(self, step: Awaitable[T]) -> T:
        async with asyncio.timeout(self.silence_seconds):
            return await step


def _content_of(request: web.Request, body: bytes | None) -> StreamReader:
    if body is None:
        return request.content
    content = StreamReader(request.protocol, _PIECE_BYTES, loop=asyncio.get_running_loop())
    content.feed_data(body)
    content.feed_eof()
    return content
