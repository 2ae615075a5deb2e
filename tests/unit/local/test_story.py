"""A timeline told as tables."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom_local.story import figure_rows, name_of, story_rows, tokens_per_second


def an_event(kind: str, second: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"seq": 1, "type": f"job.{kind}.1", "at": f"2026-01-02T03:04:{second:06.3f}Z", **more}


ENDED = an_event(
    "finished",
    4.0,
    state="succeeded",
    worker="w1",
    usage={"tokens_in": 12, "tokens_out": 101},
    engine_seconds=1.1,
    first_token_seconds=0.1,
)


def test_each_event_is_a_row_with_its_time_since_the_first() -> None:
    rows = story_rows([an_event("accepted", 3.0, model="m"), an_event("started", 3.25, worker="w1", attempt=2)])

    assert rows == [
        ("03:04:03.000", "0.00 s", "accepted", "", "model m, priority 0"),
        ("03:04:03.250", "0.25 s", "started", "w1", "attempt 2"),
    ]


def test_a_failure_says_why() -> None:
    event = an_event("finished", state="failed", fault={"code": "upstream", "message": "the engine fell over"})

    assert story_rows([event])[0][4] == "failed: the engine fell over"


def test_an_event_that_is_not_known_yet_is_shown_all_the_same() -> None:
    assert story_rows([an_event("teleported")])[0][2] == "teleported"


def test_a_bare_name_is_a_name_too() -> None:
    assert name_of({"type": "accepted"}) == "accepted"


def test_figures_come_from_the_end() -> None:
    assert figure_rows([an_event("accepted", 3.0, model="m"), ENDED]) == ("w1", 12, 101, "0.10 s", "100", "1.0 s")


def test_before_the_end_there_are_no_figures() -> None:
    assert figure_rows([an_event("accepted", model="m")]) is None


@pytest.mark.parametrize("missing", ["usage", "engine_seconds"])
def test_a_speed_that_cannot_be_told_is_a_dash(missing: str) -> None:
    assert tokens_per_second({name: value for name, value in ENDED.items() if name != missing}) == "-"


def test_no_events_are_no_rows() -> None:
    assert story_rows([]) == []
