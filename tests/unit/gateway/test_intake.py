"""What of a large task stays with the job while the task itself is an object."""

from __future__ import annotations

import pytest

from gridloom_contract.jobs import MAX_INLINE_BYTES, Task
from gridloom_contract.vocabulary import Kind
from gridloom_gateway.intake import without_texts

LONG = "x" * MAX_INLINE_BYTES


@pytest.mark.parametrize(
    ("task", "left"),
    [
        (Task(prompt=LONG), Task()),
        (Task(kind=Kind.COMPLETION, prompt=LONG), Task(kind=Kind.COMPLETION)),
        (Task(messages=({"role": "user", "content": LONG},)), Task()),
        (
            Task(prompt=LONG, params={"max_tokens": 5, "stop": ["a"], "user": LONG, "seed": 1.5, "word": "a"}),
            Task(params={"max_tokens": 5, "seed": 1.5, "word": "a"}),
        ),
        (Task(raw={"messages": [{"content": LONG}], "n": 2}), Task(raw={"n": 2})),
    ],
)
def test_what_may_be_decided_on_unread_stays_and_all_text_goes(task: Task, left: Task) -> None:
    assert without_texts(task) == left
