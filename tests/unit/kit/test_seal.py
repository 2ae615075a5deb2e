"""What is sealed opens for whom it belongs to, and for nobody else."""

from __future__ import annotations

import re

import pytest

from gridloom_kit.seal import Seal, SealError

SEAL = Seal("0f" * 32)


def test_what_was_sealed_opens() -> None:
    assert SEAL.open(SEAL.close("glm_key ü", "job1"), "job1") == "glm_key ü"


def test_it_is_text_and_never_twice_the_same() -> None:
    one, other = SEAL.close("secret", "job1"), SEAL.close("secret", "job1")
    assert one != other
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", one)


def test_it_does_not_open_for_something_else() -> None:
    with pytest.raises(SealError):
        SEAL.open(SEAL.close("secret", "job1"), "job2")


def test_it_does_not_open_under_another_key() -> None:
    with pytest.raises(SealError):
        Seal("f0" * 32).open(SEAL.close("secret", "job1"), "job1")


@pytest.mark.parametrize("position", [0, 20, -4])
def test_a_changed_text_does_not_open(position: int) -> None:
    sealed = list(SEAL.close("secret", "job1"))
    sealed[position] = "A" if sealed[position] != "A" else "B"
    with pytest.raises(SealError):
        SEAL.open("".join(sealed), "job1")


@pytest.mark.parametrize("sealed", ["", "A", "!!!!", "AAAA", "ü"])
def test_nonsense_does_not_open(sealed: str) -> None:
    with pytest.raises(SealError):
        SEAL.open(sealed, "job1")


@pytest.mark.parametrize("key", ["", "0f" * 31, "0f" * 33, "x" * 64])
def test_a_master_key_has_64_hexadecimal_digits(key: str) -> None:
    with pytest.raises(SealError) as raised:
        Seal(key)
    assert not key or key not in str(raised.value)
