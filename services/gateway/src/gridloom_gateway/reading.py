"""Reading requests: bodies and queries become Structs in one step, or the error that says what is wrong and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
from aiohttp import hdrs, web
from msgspec import NODEFAULT, UNSET, UnsetType
from msgspec.structs import asdict, fields

from gridloom_domain.errors import Invalid, RequestTimeout, TooLarge, UnsupportedMedia
from gridloom_gateway.gathering import Gathering

B = TypeVar("B")
Q = TypeVar("Q", bound=msgspec.Struct)

MAX_DEPTH: Final = 64
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_OPENING: Final = (b"[", b"{")
_COSTLY: Final = (b"[", b"{", b"]", b"}", b'"', b"\\")
_MAX_COSTLY: Final = 100_000
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
# Possessive, and ended by the end of the body too: nothing is ever looked at twice.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class Malformed(Invalid):
    """The body is not JSON at all. Some APIs tell this from JSON with wrong content."""


class Missing(Invalid):
    """A field is not there that must be. Some APIs have a word for each."""


@dataclass(frozen=True)
class BodyReader:
    """Reads JSON bodies within a time; their size is limited by the application."""

    timeout_seconds: float
    gathering: Gathering

    async def decode(self, request: web.Request, decoder: msgspec.json.Decoder[B]) -> B:
        """Return the body as the decoder's type.

        Raises `Malformed`, `Invalid` (naming the field), `TooLarge`, `UnsupportedMedia`, `RequestTimeout`, or
        `Unavailable` if too many large bodies are in hand.
        """
        _refuse_media(request)
        body = await self.read(request)
        self.gathering.forget(request)
        if is_too_deep(body):
            raise Malformed(f"the JSON is malformed or nested deeper than {MAX_DEPTH}")
        return decoded(body, decoder)

    async def read(self, request: web.Request) -> bytes:
        """Return the body; asked again before it is decoded, the same. Raises what `decode` raises of it."""
        try:
            if request.content.is_eof() and not self.gathering.has_body_of(request):
                return await request.read()
            return await self.gathering.body_of(request)
        except TimeoutError:
            raise RequestTimeout(f"the body did not arrive within {self.timeout_seconds:g} seconds") from None
        except web.HTTPRequestEntityTooLarge:
            raise too_large(request) from None
        except web.RequestPayloadError as error:
            raise Malformed(f"the body cannot be read: {error}") from None


def decoded(body: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """Return the body as the decoder's type. Raises `Malformed` or `Invalid`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not valid JSON: {error}") from None


def query(request: web.Request, wanted: type[Q]) -> Q:
    """Return the query string as a Struct; names it does not know are ignored.

    A text is never taken for "not given", `null` neither. Raises `Invalid`, also for a name that is given twice.
    """
    texts = request.query
    for each in fields(wanted):
        if len(texts.getall(each.encode_name, ())) > 1:
            raise Invalid(f"{each.encode_name} is given more than once", each.encode_name)
    try:
        given = msgspec.convert(dict(texts), _given(wanted), strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    return wanted(**{name: value for name, value in asdict(given).items() if value is not UNSET})


@cache
def _given(wanted: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the same Struct without None, which no text stands for: what is not given is unset."""
    rows: list[tuple[str, Any, Any]] = []
    for each in fields(wanted):
        kinds = tuple(kind for kind in get_args(each.type) if kind is not NoneType)
        is_union = get_origin(each.type) in {Union, UnionType}
        kind = Union[kinds] if is_union else each.type  # noqa: UP007 - made at run time
        rows.append((each.name, kind, NODEFAULT) if each.required else (each.name, kind | UnsetType, UNSET))
    names = {each.name: each.encode_name for each in fields(wanted)}
    return msgspec.defstruct(wanted.__name__, rows, rename=names, kw_only=True)


def invalid(error: msgspec.ValidationError) -> Invalid:
    """Return the error with the field that it concerns."""
    text = str(error)
    missing, path = _MISSING.search(text), _PATH.search(text)
    names = [name for name in (path and path[1], missing and missing[1]) if name]
    field = ".".join(names) or None
    sentence = _PATH.sub("", text).replace("`", "")
    return (Missing if missing else Invalid)(f"{field}: {sentence}" if field else sentence, field)


def too_large(request: web.Request) -> TooLarge:
    """Return the error for a body beyond the limit, with what was announced."""
    size = f" of {request.content_length} bytes" if request.content_length else ""
    return TooLarge(f"the body{size} exceeds the limit of {request.client_max_size} bytes")


def is_too_deep(body: bytes) -> bool:
    """Say whether brackets are nested deeper than `MAX_DEPTH`, or do not match; brackets in strings do not count.

    Judging costs time for each quote, bracket and backslash. A body with very many of them is left to the decoder,
    which stops by itself (RecursionError), or an attacker would buy seconds of our time with one request.
    """
    if sum(map(body.count, _OPENING)) <= MAX_DEPTH or sum(map(body.count, _COSTLY)) > _MAX_COSTLY:
        return False
    brackets = _STRING.sub(b"", body).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets)


def _refuse_media(request: web.Request) -> None:
    headers = request.headers
    if headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMedia("send the body without Content-Encoding")
    if headers.get(hdrs.CONTENT_TYPE, "").lower().startswith("multipart/"):
        raise UnsupportedMedia("send the body as application/json")
    if request.content_length is not None and request.content_length > request.client_max_size:
        raise too_large(request)
