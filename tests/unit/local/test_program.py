"""What is handed to supervisord: a configuration it reads as meant, and scripts that carry any value."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import pytest

from gridloom_local.program import Program, render_config, render_script


def a_program(**changes: object) -> Program:
    known: dict[str, object] = {"name": "nats", "command": ("nats-server",), "log": Path("/logs/nats.log")}
    return Program(**(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", ["plain", "two words", 'it\'s "both" kinds', '"in,quotes"', "100%", "$HOME `x` \\", "a\nb", ""]
)
def test_a_script_carries_any_value_and_argument_unchanged(value: str) -> None:
    program = a_program(
        command=("sh", "-c", 'printf "%s|%s" "$SECRET" "$1"', "sh", value), environment={"SECRET": value}
    )

    run = subprocess.run(["/bin/sh", "-c", render_script(program)], capture_output=True, text=True, check=True)

    assert run.stdout == f"{value}|{value}"


def test_a_program_becomes_a_section_that_runs_its_script() -> None:
    config = configparser.RawConfigParser()

    config.read_string(render_config({}, {Path("/x/run/nats.sh"): a_program(stop_seconds=7, starts_alone=True)}))

    section = config["program:nats"]
    assert section["command"] == "/bin/sh /x/run/nats.sh"
    assert section["autorestart"] == "true"
    assert section["autostart"] == "true"
    assert section["stopwaitsecs"] == "7"
    assert section["stdout_logfile"] == "/logs/nats.log"


def test_a_program_waits_to_be_started_unless_it_starts_alone() -> None:
    assert "autostart = false" in render_config({}, {Path("/x.sh"): a_program()})


def test_a_folder_with_a_blank_or_a_percent_sign_is_no_trouble() -> None:
    text = render_config({}, {Path("/my home/100%/nats.sh"): a_program(log=Path("/my home/100%/nats.log"))})

    assert "command = /bin/sh '/my home/100%%/nats.sh'" in text
    assert "stdout_logfile = /my home/100%%/nats.log" in text


@pytest.mark.parametrize("name", ["a\nb", "a ;b"])
def test_a_path_that_supervisord_would_misread_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        render_config({}, {Path("/x.sh"): a_program(log=Path(name))})
