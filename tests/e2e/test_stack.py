"""The embedded stack as a newcomer meets it: up, used, hurt, down, and up again."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from e2e.stack_commands import Command
from gridloom_local.announcements import LogFollower
from gridloom_local.home import Home
from gridloom_local.leftovers import end_all, running_supervisor
from gridloom_local.plan import SERVERS, SERVICES


def eventually(is_true: Callable[[], object], within_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def read_until_up(process: subprocess.Popen[str]) -> str:
    """Return what `gridloom up` says in the foreground until it is up."""
    assert process.stdout
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, f"gridloom up ended before it was up: {said}"
        said += line
    return said


@pytest.fixture
def a_home(tmp_path: Path) -> Iterator[Callable[[str], Command]]:
    commands: list[Command] = []

    def make(name: str = "home") -> Command:
        commands.append(Command(Home(tmp_path / name)))
        return commands[-1]

    yield make
    for command in commands:
        end_all(command.processes())


@pytest.fixture(scope="module")
def gridloom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """One stack that is up, for the tests which leave it up."""
    command = Command(Home(tmp_path_factory.mktemp("stack")))
    command.up()
    yield command
    command.succeed("down")
    assert command.processes() == []


def test_up_writes_the_facts_for_their_owner_only(gridloom: Command) -> None:
    facts = gridloom.facts

    assert facts.url == f"http://127.0.0.1:{gridloom.port}"
    assert facts.model == "synthetic"
    assert facts.api_key.startswith("glm_")
    assert stat.S_IMODE(gridloom.home.env_file.stat().st_mode) == 0o600


def test_a_job_is_submitted_and_watched_through_the_command(gridloom: Command) -> None:
    text = gridloom.succeed("jobs", "submit", "Say something", "--watch")

    assert len(text.split()) > 3


def test_a_job_is_submitted_first_and_looked_at_later(gridloom: Command) -> None:
    job = gridloom.succeed("jobs", "submit", "Say something", "--tag", "later").strip()

    watched = gridloom.succeed("jobs", "watch", job)
    shown = msgspec.convert(gridloom.json("jobs", "show", job), dict[str, object])
    listed = msgspec.convert(gridloom.json("jobs", "list", "--tag", "later"), dict[str, list[dict[str, object]] | int])

    assert shown["status"] == "completed"
    assert str(shown["output"]).strip() == watched.strip()
    assert isinstance(listed["jobs"], list)
    assert [row["job_id"] for row in listed["jobs"]] == [job]
    for step in ("accepted", "assigned", "started", "finished"):
        assert step in gridloom.succeed("jobs", "timeline", job)


def test_the_curl_line_works_when_pasted(gridloom: Command) -> None:
    done = subprocess.run(["/bin/sh", "-c", gridloom.facts.curl()], capture_output=True, check=True)

    assert msgspec.json.decode(done.stdout)["status"] == "pending"


def test_a_refusal_says_what_and_why_and_exits_with_4(gridloom: Command) -> None:
    refused = gridloom.run("jobs", "submit", "x", "--model", "no-such-model")

    assert refused.returncode == 4
    assert "no-such-model" in refused.stderr


def test_a_wrong_key_is_refused_with_the_variable_to_check(gridloom: Command) -> None:
    refused = Command(gridloom.home, gridloom.port, {"GRIDLOOM_API_KEY": "glm_wrong_key"}).run("jobs", "list")

    assert refused.returncode == 4
    assert "GRIDLOOM_API_KEY" in refused.stderr


def test_accounts_and_keys_are_administered(gridloom: Command) -> None:
    account = msgspec.convert(gridloom.json("accounts", "create", "ada"), dict[str, object])["id"]
    made = msgspec.convert(gridloom.json("keys", "create", str(account), "--name", "laptop"), dict[str, object])
    ada = Command(gridloom.home, gridloom.port, {"GRIDLOOM_API_KEY": str(made["key"])})

    assert "ada" in gridloom.succeed("accounts", "list")
    assert "laptop" in gridloom.succeed("keys", "list", str(account))
    assert ada.run("jobs", "list").returncode == 0
    gridloom.succeed("keys", "revoke", str(made["kid"]))
    assert ada.run("jobs", "list").returncode == 4


def test_workers_are_enrolled_listed_drained_and_revoked(gridloom: Command) -> None:
    line = gridloom.succeed("workers", "enrol", "shed")
    worker = line.split()[1]

    assert "gridloom-worker --token glw_" in line
    assert gridloom.facts.nats_url in line
    assert "shed" in gridloom.succeed("workers", "list")
    for verb in ("drain", "resume", "revoke"):
        gridloom.succeed("workers", verb, worker)


def test_models_are_listed(gridloom: Command) -> None:
    assert "synthetic" in gridloom.succeed("models")


def test_the_doctor_finds_a_fresh_stack_healthy(gridloom: Command) -> None:
    done = gridloom.run("doctor", "--json")

    failed = [one for one in msgspec.json.decode(done.stdout) if one["verdict"] == "fail"]
    assert (done.returncode, failed) == (0, [])


def test_status_shows_every_process_ready(gridloom: Command) -> None:
    rows = msgspec.convert(gridloom.json("status"), list[dict[str, object]])

    assert {str(row["name"]) for row in rows} == {*SERVERS, *SERVICES}
    assert all(row["is_ready"] for row in rows)


def test_up_on_a_running_stack_says_so(gridloom: Command) -> None:
    again = gridloom.run("up", "--detach")

    assert again.returncode == 1
    assert f"is running already at {gridloom.facts.url}" in again.stderr


def test_a_taken_port_is_an_error_that_says_how_to_choose_another(
    gridloom: Command, a_home: Callable[[str], Command]
) -> None:
    other = a_home("other")
    other.port = gridloom.port

    refused = other.run("up", "--detach", "--engine", "synthetic")

    assert refused.returncode == 1
    assert f"port {gridloom.port}" in refused.stderr
    assert "GRIDLOOM_PORT=" in refused.stderr
    assert other.processes() == []


def test_a_killed_scheduler_is_started_again_and_that_is_said(gridloom: Command) -> None:
    old = gridloom.condition_of("scheduler")

    os.kill(old.pid, signal.SIGKILL)

    eventually(lambda: gridloom.condition_of("scheduler").pid not in {0, old.pid})
    eventually(lambda: gridloom.condition_of("scheduler").is_ready)
    log = "\n".join(LogFollower(gridloom.home.supervisor_log, from_start=True).new_lines())
    assert "exited: scheduler (terminated by SIGKILL" in log
    assert gridloom.condition_of("scheduler").deaths == old.deaths + 1
    gridloom.succeed("jobs", "submit", "Still there?", "--watch")


@pytest.mark.slow
def test_a_second_stack_knows_nothing_of_the_first_and_keeps_its_own_over_down_and_up(
    gridloom: Command, a_home: Callable[[str], Command]
) -> None:
    other = a_home("side by side")  # a blank in a path is no trouble either
    other.up()
    before = other.facts
    job = other.succeed("jobs", "submit", "Remember me").strip()
    other.succeed("jobs", "watch", job)
    elsewhere = gridloom.run("jobs", "show", job)

    other.succeed("down")
    left = other.processes()
    other.up()

    assert elsewhere.returncode == 4
    assert left == []
    assert other.facts == before
    assert "completed" in other.succeed("jobs", "show", job)
    assert gridloom.condition_of("worker").is_ready


@pytest.mark.slow
def test_a_stack_whose_supervisor_was_killed_is_taken_up_again_and_stopped_when_the_terminal_closes(
    a_home: Callable[[str], Command],
) -> None:
    command = a_home("home")
    command.up()
    supervisor = running_supervisor(command.home)
    assert supervisor
    orphans = {process.pid for process in command.processes()} - {supervisor.pid}

    supervisor.kill()
    eventually(lambda: running_supervisor(command.home) is None)
    with command.open("up", "--engine", "synthetic") as process:
        said = read_until_up(process)
        left = [pid for pid in orphans if psutil.pid_exists(pid)]
        command.succeed("jobs", "submit", "Again", "--watch")
        assert process.stdout
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=30)

    assert "left behind" in said
    assert left == []
    assert command.processes() == []
    assert not command.home.env_file.exists()


@pytest.mark.slow
def test_up_in_the_foreground_says_who_dies_and_ends_with_ctrl_c(a_home: Callable[[str], Command]) -> None:
    command = a_home("home")
    with command.open("up", "--engine", "synthetic") as process:
        read_until_up(process)
        assert process.stdout
        os.kill(command.condition_of("gateway").pid, signal.SIGKILL)
        died, restarted = process.stdout.readline(), process.stdout.readline()

        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)

    assert died.startswith("gateway died (terminated by SIGKILL)")
    assert restarted.startswith("gateway was started again")
    assert process.returncode == 0
    assert time.monotonic() - began < 15
    assert command.processes() == []


def test_a_service_that_cannot_start_fails_the_whole_start_with_its_log(a_home: Callable[[str], Command]) -> None:
    command = a_home("home")
    command.more = {"GRIDLOOM_SCHEDULER_NONSENSE": "1"}

    failed = command.run("up", "--detach", "--engine", "synthetic")

    assert failed.returncode == 1
    assert "scheduler died while starting" in failed.stderr
    assert "GRIDLOOM_SCHEDULER_NONSENSE" in failed.stderr
    assert str(command.home.logs / "scheduler.log") in failed.stderr
    assert command.processes() == []


def test_ctrl_c_while_starting_leaves_nothing(a_home: Callable[[str], Command]) -> None:
    command = a_home("home")
    with command.open("up", "--engine", "synthetic") as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)

    assert process.returncode == 130
    assert command.processes() == []


@pytest.mark.parametrize("verb", ["down", "status", "jobs list"])
def test_without_a_stack_each_command_says_so(a_home: Callable[[str], Command], verb: str) -> None:
    done = a_home("home").run(*verb.split())

    assert "no stack runs in" in done.stdout + done.stderr
    assert done.returncode == (0 if verb == "down" else 3)
