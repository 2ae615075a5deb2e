"""The end of a log, readable."""

from __future__ import annotations

from pathlib import Path

from gridloom_local.loglines import tail


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == []


def test_the_last_lines_are_shown(tmp_path: Path) -> None:
    log = written(tmp_path / "log", *(f"line {number}" for number in range(1000)))

    assert tail(log, 2) == ["line 998", "line 999"]


def test_a_line_of_a_service_is_told_in_words(tmp_path: Path) -> None:
    line = '{"nats":"nats://h:1","err":"gone","event":"bus.lost","level":"warning","service":"x","ts":"2026-01-02T03:04:05.6Z"}'

    assert tail(written(tmp_path / "log", line)) == ["03:04:05 warning bus.lost nats=nats://h:1 err=gone"]


def test_a_traceback_is_shown_line_by_line(tmp_path: Path) -> None:
    line = r'{"event":"run.failed","level":"error","ts":"2026-01-02T03:04:05","exception":"Traceback:\n  at\nKeyError"}'

    assert tail(written(tmp_path / "log", line)) == ["03:04:05 error run.failed", "Traceback:", "  at", "KeyError"]


def test_json_that_is_not_ours_and_half_lines_stay_as_they_are(tmp_path: Path) -> None:
    lines = ('{"t":1,"msg":"mongo"}', '{"event":"cut', "[1]", "plain")

    assert tail(written(tmp_path / "log", *lines)) == list(lines)
