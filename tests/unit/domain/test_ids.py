"""Ids: one job, one name per API."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom_domain import ids

FORMS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "uuid": (ids.as_uuid, ids.from_uuid),
    "hex": (ids.as_hex, ids.from_hex),
    "prefixed": (ids.as_prefixed, ids.from_prefixed),
    "base32": (ids.as_base32, ids.from_base32),
}
REFUSED = r"^(not an? |an id starts with |stray bits )"
JOB = "019bc0fd89d07d1e9f3a52c8b07e4d16"

every_form = pytest.mark.parametrize("form", FORMS)
times = st.integers(min_value=0, max_value=2**48 - 1)
chances = st.binary(min_size=ids.RANDOM_BYTES, max_size=ids.RANDOM_BYTES)
any_id = st.builds(ids.new_id, times, chances)


@every_form
@given(job=any_id)
def test_each_rendering_decodes_to_the_same_id(form: str, job: str) -> None:
    render, decode = FORMS[form]
    assert decode(render(job)) == job


@every_form
@given(text=st.text(max_size=40))
def test_whatever_decodes_is_spelled_as_we_would_spell_it(form: str, text: str) -> None:
    render, decode = FORMS[form]
    try:
        job = decode(text)
    except ValueError:
        return
    assert render(job) == text


@every_form
@given(job=any_id, position=st.integers(0, 40), wrong=st.sampled_from("A-_ g9l\n=٣"))
def test_a_damaged_spelling_is_refused_or_another_canonical_one(form: str, job: str, position: int, wrong: str) -> None:
    render, decode = FORMS[form]
    spelling = render(job)
    damaged = spelling[:position] + wrong + spelling[position + 1 :]
    try:
        decoded = decode(damaged)
    except ValueError:
        return
    assert render(decoded) == damaged


@every_form
def test_upper_case_is_refused(form: str) -> None:
    render, decode = FORMS[form]
    with pytest.raises(ValueError, match=REFUSED):
        decode(render(JOB).upper())


@every_form
@pytest.mark.parametrize(("start", "more"), [(0, ""), (-1, ""), (None, "2"), (None, "\n")])
def test_another_length_is_refused(form: str, start: int | None, more: str) -> None:
    render, decode = FORMS[form]
    with pytest.raises(ValueError, match=REFUSED):
        decode(render(JOB)[:start] + more)


@every_form
@pytest.mark.parametrize("other", FORMS)
def test_the_form_of_another_api_is_refused(form: str, other: str) -> None:
    if form != other:
        with pytest.raises(ValueError, match=REFUSED):
            FORMS[form][1](FORMS[other][0](JOB))


@given(any_id)
def test_stray_bits_at_the_end_of_base32_are_refused(job: str) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    spelling = ids.as_base32(job)
    neighbour = alphabet[alphabet.index(spelling[-1]) + 1]
    with pytest.raises(ValueError, match="stray bits"):
        ids.from_base32(spelling[:-1] + neighbour)


@given(any_id)
def test_as_a_uuid_it_is_a_version_7(job: str) -> None:
    uuid = UUID(ids.as_uuid(job))
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")


@given(times, chances)
def test_it_remembers_its_millisecond(now_ms: int, randomness: bytes) -> None:
    assert ids.created_ms(ids.new_id(now_ms, randomness)) == now_ms


@pytest.mark.parametrize("form", ["uuid", "hex", "prefixed"])
@given(earlier=times, later=times, first=chances, second=chances)
def test_a_later_millisecond_sorts_later(form: str, earlier: int, later: int, first: bytes, second: bytes) -> None:
    render = FORMS[form][0]
    if earlier < later:
        assert render(ids.new_id(earlier, first)) < render(ids.new_id(later, second))


@given(times, chances, chances)
def test_74_bits_of_chance_tell_ids_of_one_millisecond_apart(now_ms: int, first: bytes, second: bytes) -> None:
    def chance(randomness: bytes) -> int:
        value = int.from_bytes(randomness, "big")
        return value & ~(0xF << 76) & ~(0x3 << 62)

    assert (ids.new_id(now_ms, first) == ids.new_id(now_ms, second)) == (chance(first) == chance(second))


@pytest.mark.parametrize(("now_ms", "randomness"), [(-1, bytes(10)), (2**48, bytes(10)), (0, bytes(9)), (0, bytes(11))])
def test_what_does_not_fit_is_refused(now_ms: int, randomness: bytes) -> None:
    with pytest.raises(ValueError, match=r"does not fit|random bytes"):
        ids.new_id(now_ms, randomness)


def test_the_four_spellings_of_one_job() -> None:
    assert [render(JOB) for render, _ in FORMS.values()] == [
        "019bc0fd-89d0-7d1e-9f3a-52c8b07e4d16",
        "019bc0fd89d07d1e9f3a52c8b07e4d16",
        "job_019bc0fd89d07d1e9f3a52c8b07e4d16",
        "agn4b7mj2b6r5hz2klela7sncy",
    ]


@given(times, chances)
def test_derived_ids_are_others_of_the_same_millisecond_and_always_the_same(now_ms: int, randomness: bytes) -> None:
    job = ids.new_id(now_ms, randomness)
    derived = [ids.derived(job, number) for number in range(5)]

    assert len({job, *derived}) == 6
    assert {ids.created_ms(one) for one in derived} == {now_ms}
    assert derived == [ids.derived(job, number) for number in range(5)]
