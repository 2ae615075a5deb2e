"""Texts in tasks, and how many tokens they may be."""

from __future__ import annotations

import pytest

from gridloom_contract.jobs import Task
from gridloom_domain.tokens import guessed_tokens, said_characters, text_characters


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


@pytest.mark.parametrize(
    ("raw", "characters"),
    [
        ({"messages": [{"role": "user", "content": "Say hello"}, {"content": [{"text": "Look"}]}, 7], "n": 2}, 13),
        ({"prompt": "Say hello"}, 9),
        ({"prompt": ["Say", "hello"]}, 8),
        ({"prompt": [[1, 2], [3]]}, 0),
        ({"input": ["one", "two"]}, 6),
        ({"messages": "nonsense", "prompt": {"a": 1}}, 0),
        ({}, 0),
    ],
)
def test_a_raw_task_has_the_texts_of_its_body(raw: dict, characters: int) -> None:
    assert text_characters(Task(raw=raw)) == characters


RAW = Task(raw={})


@pytest.mark.parametrize(
    ("task", "output", "characters"),
    [
        (Task(prompt="Hi"), '{"choices":[]}', 14),
        (RAW, '{"choices":[{"message":{"content":"Hello"},"logprobs":{"content":[{"token":"Hello"}]}}]}', 5),
        (RAW, '{"choices":[{"text":"Hel"},{"text":"lo"}]}', 5),
        (RAW, '{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"arguments":"{}"}}]}}]}', 2),
        (RAW, '{"choices":[{"message":{"reasoning_content":"Hm","content":"Hello"}}]}', 7),
        (RAW, '{"data":[{"embedding":"AACAPw=="}]}', 0),
        (RAW, "nonsense", 0),
        (RAW, '{"choices":[{"message":7},{"message":{"tool_calls":[7,{"function":7}]}}]}', 0),
    ],
)
def test_of_a_raw_tasks_output_only_what_is_said_counts(task: Task, output: str, characters: int) -> None:
    assert said_characters(task, output) == characters
