"""What a person reads when a gateway refuses, or a program fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom_local.client import refusal
from gridloom_local.problems import REFUSED, Problem, blaming


@pytest.mark.parametrize(
    "content",
    [
        b'{"error": "no such model"}',
        b'{"error": {"message": "no such model", "code": "x"}}',
        b'{"message": "no such model"}',
        b'{"detail": "no such model"}',
        b"no such model",
    ],
)
def test_the_reason_is_found_in_every_shape_of_error(content: bytes) -> None:
    problem = refusal("POST", "/api/v1/jobs", 422, content)

    assert problem.message == "POST /api/v1/jobs was refused (422): no such model"
    assert problem.exit_code == REFUSED


def test_a_refusal_without_words_says_so() -> None:
    assert "no reason given" in refusal("GET", "/x", 502, b"").message


def test_a_refused_key_says_which_variable_to_check() -> None:
    assert "GRIDLOOM_API_KEY" in refusal("GET", "/x", 401, b"{}").render()


def test_a_problem_shows_the_end_of_its_log_and_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))

    report = Problem("gateway died", remedy="look", log=log).render()

    assert "  | line 99" in report
    assert "line 79" not in report
    assert f"read the whole log: {log}" in report
    assert report.endswith("what to do: look")


def test_a_problem_is_given_the_log_to_read_where_it_has_none(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught, blaming(tmp_path / "gateway.log"):
        raise Problem("refused")

    assert f"read the whole log: {tmp_path / 'gateway.log'}" in caught.value.render()


def test_a_problem_that_names_a_log_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught, blaming(tmp_path / "gateway.log"):
        raise Problem("died", log=tmp_path / "nats.log")

    assert caught.value.log == tmp_path / "nats.log"
