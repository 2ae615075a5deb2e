"""`gridloom run`: what a container's command says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gridloom_local.plan import SERVICES

GRIDLOOM = Path(sys.executable).with_name("gridloom")


def gridloom(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([GRIDLOOM, *arguments], env={}, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "worker"])
def test_it_becomes_the_service_which_names_every_setting_it_lacks(service: str) -> None:
    done = gridloom("run", service)

    assert done.returncode == 1
    assert done.stderr.startswith(f"{service}: unusable settings:")
    assert "is not set and has no default" in done.stderr


def test_what_follows_the_name_is_handed_on() -> None:
    done = gridloom("run", "worker", "--help")

    assert done.returncode == 0
    assert "--engine" in done.stdout


def test_a_service_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = gridloom("run", "nonsense")

    assert done.returncode == 2
    assert "'nonsense' is not one of 'blob', 'gateway'" in done.stderr
