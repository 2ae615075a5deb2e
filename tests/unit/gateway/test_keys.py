"""API keys: what they look like, and what their checksum catches."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from gridloom_gateway import keys


def test_a_new_key_is_well_formed_and_names_its_kid() -> None:
    new = keys.mint()

    assert keys.is_well_formed(new.text)
    assert keys.kid_in(new.text) == new.kid
    assert new.text.startswith(f"glm_{new.kid}_")
    assert len(new.text) == 4 + 8 + 1 + 32 + 6


def test_no_two_keys_are_alike() -> None:
    assert len({keys.mint().text for _ in range(1000)}) == 1000


def test_every_character_of_kid_and_secret_is_chosen_from_the_alphabet() -> None:
    asked: list[str] = []

    def choose(alphabet: str) -> str:
        asked.append(alphabet)
        return alphabet[0]

    new = keys.mint(choose)

    assert asked == [string.digits + string.ascii_uppercase + string.ascii_lowercase] * 40
    assert new.kid == "00000000"


@given(st.integers(0, keys.KEY_LENGTH - 1), st.sampled_from(keys.ALPHABET))
def test_one_wrong_character_is_always_noticed(position: int, character: str) -> None:
    good = keys.mint(lambda alphabet: alphabet[17]).text
    bad = good[:position] + character + good[position + 1 :]

    assert keys.is_well_formed(bad) == (bad == good)


@given(st.text(max_size=80))
def test_any_text_can_be_asked_about(text: str) -> None:
    assert not keys.is_well_formed(text)
    assert keys.kid_in(text) is None or len(text) == keys.KEY_LENGTH
    assert len(keys.verifier(b"pepper", text)) == 32


def test_a_verifier_depends_on_the_whole_key_and_on_the_pepper() -> None:
    key = keys.mint().text

    assert keys.verifier(b"one", key) == keys.verifier(b"one", key)
    assert keys.verifier(b"one", key) != keys.verifier(b"two", key)
    assert keys.verifier(b"one", key) != keys.verifier(b"one", key[:-1])
