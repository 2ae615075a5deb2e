"""What supervisord's log says becomes what a person reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom_local.announcements import Announcer, LogFollower

LOGS = Path("/x/logs")
DEATH = "2026-01-02 03:04:05,678 WARN exited: scheduler (terminated by SIGKILL; not expected)"
SPAWN = "2026-01-02 03:04:06,678 INFO spawned: 'scheduler' with pid 4711"


def test_a_death_is_announced_with_its_cause_and_its_log() -> None:
    assert Announcer(LOGS).read([DEATH]) == [
        "scheduler died (terminated by SIGKILL) and will be started again; its log is /x/logs/scheduler.log"
    ]


def test_a_start_after_a_death_is_announced_as_a_restart() -> None:
    announcer = Announcer(LOGS)

    announcer.read([DEATH])

    assert announcer.read([SPAWN]) == ["scheduler was started again (process 4711)"]


def test_the_first_start_is_no_news() -> None:
    assert Announcer(LOGS).read([SPAWN]) == []


def test_a_clean_exit_that_nobody_asked_for_is_a_death_too() -> None:
    line = "2026-01-02 03:04:05,678 INFO exited: gateway (exit status 0; expected)"

    assert Announcer(LOGS).read([line])[0].startswith("gateway died (exit status 0)")


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-02 03:04:05,678 INFO stopped: nats (exit status 0)",
        "2026-01-02 03:04:05,678 INFO success: nats entered RUNNING state, process has stayed up for > than 1 seconds",
        "nonsense",
        "",
    ],
)
def test_everything_else_is_silence(line: str) -> None:
    assert Announcer(LOGS).read([line]) == []


def test_a_program_that_cannot_be_started_is_announced() -> None:
    line = "2026-01-02 03:04:05,678 INFO spawnerr: can't find command 'nope'"

    assert Announcer(LOGS).read([line]) == ["the process supervisor says: can't find command 'nope'"]


def test_deaths_are_counted_since_the_supervisor_started() -> None:
    announcer = Announcer(LOGS)

    announcer.read([DEATH, "2026-01-02 03:04:05,678 INFO supervisord started with pid 1", DEATH, SPAWN, DEATH])

    assert announcer.deaths["scheduler"] == 2


def test_a_follower_hands_out_each_complete_line_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    follower = LogFollower(log)

    with log.open("a") as file:
        file.write("new\nhal")
    first = follower.new_lines()
    with log.open("a") as file:
        file.write("f\n")

    assert (first, follower.new_lines(), follower.new_lines()) == (["new"], ["half"], [])


def test_a_follower_goes_on_after_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a long first line\n")
    follower = LogFollower(log)

    log.rename(tmp_path / "log.1")
    log.write_text("new\n")

    assert follower.new_lines() == ["new"]


def test_a_follower_waits_for_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    follower = LogFollower(tmp_path / "log")

    before = follower.new_lines()
    (tmp_path / "log").write_text("first\n")

    assert (before, follower.new_lines()) == ([], ["first"])
