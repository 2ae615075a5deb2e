"""Bodies: what is no JSON, what is the wrong JSON, and which field is to blame."""

from __future__ import annotations

import time
from datetime import date
from typing import Annotated, Literal

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import Decoder, encode

from gridloom_domain.errors import Invalid
from gridloom_gateway.dialects.native.wire import ChangePriority, SubmitJob
from gridloom_gateway.reading import MAX_DEPTH, Malformed, decoded, is_too_deep, query

SUBMIT = Decoder(SubmitJob)


def error_of(body: bytes) -> Invalid:
    with pytest.raises(Invalid) as raised:
        decoded(body, SUBMIT)
    return raised.value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"model": "m", "prompt": "p",}',
        b'{"model": "\xff", "prompt": "p"}',
        b'{"model": "\\ud800", "prompt": "p"}',
        b'{"model": "m", "prompt": "p"} trailing',
        b'{"model": NaN, "prompt": "p"}',
        b"\x00" * 10,
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    assert isinstance(error_of(body), Malformed)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "model"),
        (b'{"model": "m"}', "prompt"),
        (b'{"model": 1, "prompt": "p"}', "model"),
        (b'{"model": "", "prompt": "p"}', "model"),
        (b'{"model": "m", "prompt": ["p"]}', "prompt"),
        (b'{"model": "m", "prompt": "p", "priority": 1.5}', "priority"),
        (b'{"model": "m", "prompt": "p", "priority": 99999999999999999999999}', "priority"),
        (b'{"model": "m", "prompt": "p", "priority": 1e999}', "priority"),
        (b'{"model": "m", "prompt": "p", "timeout_seconds": 0}', "timeout_seconds"),
        (b'{"model": "m", "prompt": "p", "model_match": "close"}', "model_match"),
        (b'{"model": "m", "prompt": "p", "tag": "' + b"x" * 65 + b'"}', "tag"),
        (b"[]", None),
        (b'"text"', None),
    ],
)
def test_the_wrong_json_names_its_field(body: bytes, field: str | None) -> None:
    error = error_of(body)

    assert not isinstance(error, Malformed)
    assert error.fault.field == field
    assert field is None or field in error.fault.message


def test_unknown_fields_are_ignored() -> None:
    body = b'{"model": "m", "prompt": "p", "state": "completed", "account": "x", "id": 3}'

    assert decoded(body, SUBMIT) == SubmitJob(model="m", prompt="p")


def test_a_whole_number_is_no_text() -> None:
    with pytest.raises(Invalid):
        decoded(b'{"priority": "5"}', Decoder(ChangePriority))


@pytest.mark.parametrize("pair", [b"[]", b"{}"])
def test_nesting_is_allowed_to_a_depth_and_not_beyond(pair: bytes) -> None:
    def nested(depth: int) -> bytes:
        opening = b'{"a":' if pair == b"{}" else b"["
        return opening * (depth - 1) + pair + pair[1:] * (depth - 1)

    assert not is_too_deep(nested(MAX_DEPTH))
    assert is_too_deep(nested(MAX_DEPTH + 1))
    assert is_too_deep(nested(10_000))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert not is_too_deep(b"[" + b",".join([b"[[]]"] * 5000) + b"]")


def test_brackets_in_strings_do_not_count() -> None:
    assert not is_too_deep(encode({"prompt": "[{" * 5000 + '\\"[' * 50}))


@given(
    st.recursive(st.none() | st.text('[]{}"\\,a'), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_anything_that_nests_little_is_accepted(value: object) -> None:
    many = [value] * 70

    assert not is_too_deep(encode(many))


@pytest.mark.parametrize("piece", [b"[", b"[]", b"{[", b"[{}]", b'"', b'"\\', b'\\"', b'"a', b'"[" ', b"\\"])
def test_no_body_takes_long_to_judge(piece: bytes) -> None:
    for count in (30_000, 4_000_000):
        body = b"[" * (MAX_DEPTH + 1) + piece * count
        started = time.perf_counter()

        is_too_deep(body)

        assert time.perf_counter() - started < 1.0


def test_a_body_too_costly_to_judge_is_stopped_by_the_decoder() -> None:
    body = b'{"model": "m", "prompt": "p", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"

    assert not is_too_deep(body)
    assert isinstance(error_of(body), Malformed)


class Wanted(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A query with everything that a query may have."""

    status: Literal["open", "null"] | None = None
    state: Literal["open", "closed"] | None = None
    tag: Annotated[str, msgspec.Meta(max_length=8)] | None = None
    from_: date | None = None
    page: Annotated[int, msgspec.Meta(ge=1)] = 1


def asked(text: str) -> Wanted:
    return query(make_mocked_request("GET", f"/things?{text}"), Wanted)


def test_a_query_becomes_what_it_says_and_unknown_names_are_ignored() -> None:
    assert asked("state=open&tag=a+b&from=2026-03-04&page=7&unknown=1&unknown=2") == Wanted(
        state="open", tag="a b", from_=date(2026, 3, 4), page=7
    )
    assert asked("") == Wanted()


def test_a_text_never_stands_for_nothing() -> None:
    assert asked("tag=null&status=null") == Wanted(tag="null", status="null")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("state=null", "state"),
        ("state=", "state"),
        ("state=open&state=closed", "state"),
        ("from=null", "from"),
        ("from=yesterday", "from"),
        ("from=2026-03-04&from=2026-03-04", "from"),
        ("tag=123456789", "tag"),
        ("page=0", "page"),
        ("page=null", "page"),
        ("page=1.5", "page"),
    ],
)
def test_a_wrong_query_names_its_field(text: str, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        asked(text)
    assert raised.value.fault.field == field
