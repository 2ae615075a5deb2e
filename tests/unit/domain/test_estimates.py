"""How many tokens are reserved for a job before anybody knows how many it uses."""

from __future__ import annotations

import pytest

from gridloom_domain.estimates import USUAL_OUTPUT_TOKENS, UsualOutput, estimate


@pytest.mark.parametrize(
    ("characters", "max_tokens", "usual", "expected"),
    [(0, 10, 256.0, 26), (300, 512, 256.0, 628), (301, None, 99.2, 217), (0, 0, 256.0, 17)],
)
def test_an_estimate_is_the_prompt_and_the_answer(
    characters: int, max_tokens: int | None, usual: float, expected: int
) -> None:
    assert estimate(characters, max_tokens, usual) == expected


def test_the_usual_output_of_a_model_is_learnt() -> None:
    usual = UsualOutput(most_models=2)
    assert usual.of("m") == USUAL_OUTPUT_TOKENS
    for _ in range(100):
        usual.saw("m", 1_000)
    assert usual.of("m") == pytest.approx(1_000, rel=0.01)
    usual.saw("a", 10)
    usual.saw("b", 10)
    assert usual.of("m") == USUAL_OUTPUT_TOKENS  # forgotten: the table is bounded


def test_an_answer_seldom_exceeds_the_usual_output() -> None:
    usual = UsualOutput()
    lengths = [100, 400, 250, 50, 300] * 40
    exceeded = 0
    for length in lengths:
        exceeded += length > usual.of("m")
        usual.saw("m", length)
    assert exceeded < 0.15 * len(lengths)
