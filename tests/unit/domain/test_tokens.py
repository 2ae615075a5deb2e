"""Texts in tasks, and how many tokens they may be."""

from __future__ import annotations

import pytest

from gridloom_contract.jobs import Task
from gridloom_domain.tokens import guessed_tokens, text_characters


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4_000, 1_000)])
def test_four_characters_are_a_token(characters: int, tokens: int) -> None:
    assert guessed_tokens(characters) == tokens


@pytest.mark.parametrize(
    ("task", "characters"),
    [
        (Task(prompt="Say hello"), 9),
        (Task(), 0),
        (Task(messages=({"role": "user", "content": "Say hello"}, {"role": "user", "content": "again"})), 14),
        (
            Task(
                messages=({"content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": "data:"}]},)
            ),
            4,
        ),
        (Task(messages=({"role": "assistant", "content": None, "tool_calls": []},)), 0),
        (Task(messages=({"content": [7, "x"]},)), 0),
    ],
)
def test_only_texts_have_a_length(task: Task, characters: int) -> None:
    assert text_characters(task) == characters
