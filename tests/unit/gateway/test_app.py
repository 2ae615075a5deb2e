"""Which paths a pattern stands for."""

from __future__ import annotations

import re

import pytest

from gridloom_gateway.app import pattern_of

PATHS = ("/jobs", "/jobs/cancel_all", "/jobs/{id}", "/jobs/{id}/cancel", "/models", "/{other}")


@pytest.mark.parametrize("path", ["/jobs", "/jobs/cancel_all", "/jobs/{id}/cancel", "/models"])
def test_what_cannot_be_taken_for_another_stays_as_it_is(path: str) -> None:
    assert pattern_of(path, PATHS) == path


def test_a_parameter_is_none_of_the_words_that_stand_in_its_place() -> None:
    name, _, pattern = pattern_of("/jobs/{id}", PATHS).removeprefix("/jobs/{").removesuffix("}").partition(":")

    assert name == "id"
    assert [bool(re.fullmatch(pattern, text)) for text in ("cancel_all", "cancel_all1", "cancel", "a", "a/b")] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_words_elsewhere_do_not_matter() -> None:
    assert pattern_of("/things/{id}", ("/jobs/all", "/things/{id}", "/things")) == "/things/{id}"
