"""What each service of a stack is told, and by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom_local.home import Home
from gridloom_local.plan import LLAMACPP, PORTS, SERVICES, SYNTHETIC, Plan, service_settings_in
from gridloom_local.program import Program
from gridloom_local.secrets import Secrets


def a_plan(folder: Path, **changes: object) -> Plan:
    ports = {name: 20_000 + number for number, name in enumerate(PORTS)} | {"gateway": 8080}
    known = {"worker_token": "glw_w1_secret"}
    return Plan(Home(folder), ports, Secrets(), **(known | changes))  # type: ignore[arg-type]


def program_of(plan: Plan, name: str) -> Program:
    return next(program for program in plan.programs() if program.name == name)


def test_there_is_no_worker_before_it_has_a_token(tmp_path: Path) -> None:
    names = [program.name for program in a_plan(tmp_path, worker_token="").programs()]

    assert names == ["nats", "mongo", "s3", "scheduler", "quota", "usage", "webhook", "blob", "gateway"]


def test_servers_start_alone_and_services_when_they_are_told(tmp_path: Path) -> None:
    alone = {program.name: program.starts_alone for program in a_plan(tmp_path).programs()}

    assert [name for name, starts in alone.items() if starts] == ["nats", "mongo", "s3"]


def test_each_program_has_a_log_of_its_own(tmp_path: Path) -> None:
    programs = a_plan(tmp_path).programs()

    assert {program.log for program in programs} == {tmp_path / "logs" / f"{program.name}.log" for program in programs}


def test_a_model_on_the_stacks_own_machine_leaves_a_core_to_the_rest(tmp_path: Path) -> None:
    told = program_of(a_plan(tmp_path, engine=LLAMACPP), "worker").environment

    assert int(told["GRIDLOOM_WORKER_THREADS"]) >= 1
    assert "GRIDLOOM_WORKER_THREADS" not in program_of(a_plan(tmp_path, engine=SYNTHETIC), "worker").environment


def test_what_the_caller_chose_wins_over_advice(tmp_path: Path) -> None:
    plan = a_plan(tmp_path, engine=LLAMACPP, chosen={"GRIDLOOM_WORKER_THREADS": "7", "GRIDLOOM_GATEWAY_HOST": "::1"})

    assert program_of(plan, "worker").environment["GRIDLOOM_WORKER_THREADS"] == "7"
    assert "GRIDLOOM_GATEWAY_HOST" not in program_of(plan, "worker").environment
    assert program_of(plan, "gateway").environment["GRIDLOOM_GATEWAY_HOST"] == "::1"


def test_what_ties_the_stack_together_cannot_be_chosen(tmp_path: Path) -> None:
    plan = a_plan(tmp_path, chosen={"GRIDLOOM_WORKER_NATS_URL": "nats://elsewhere:4222"})

    assert program_of(plan, "worker").environment["GRIDLOOM_WORKER_NATS_URL"] == plan.nats_url


def test_only_settings_of_services_are_taken_from_the_environment() -> None:
    environ = {"GRIDLOOM_WORKER_SLOTS": "2", "GRIDLOOM_HOME": "x", "GRIDLOOM_URL": "y", "PATH": "z"}

    assert service_settings_in(environ) == {"GRIDLOOM_WORKER_SLOTS": "2"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_on_a_command_line(tmp_path: Path, service: str) -> None:
    plan = a_plan(tmp_path)
    program = program_of(plan, service)
    secrets = {*plan.secrets.nats_passwords.values(), *plan.secrets.mongo_passwords.values(), plan.worker_token}

    assert not any(secret in word for secret in secrets for word in program.command)
