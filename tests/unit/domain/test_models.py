"""Families of models."""

from __future__ import annotations

import pytest

from gridloom_domain.models import family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [("qwen3:4b", "qwen3"), ("qwen3", "qwen3"), ("library/phi:3:mini", "library/phi"), ("", "")],
)
def test_the_family_is_the_text_before_the_colon(model: str, family: str) -> None:
    assert family_of(model) == family
