"""The `gridloom` command as a person runs it: a process with a home and a port of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from gridloom_local.facts import Facts, read_facts
from gridloom_local.home import Home
from gridloom_local.leftovers import find_ours
from gridloom_local.observation import Condition, conditions
from gridloom_local.servers import free_port

GRIDLOOM = Path(sys.executable).with_name("gridloom")
PATIENCE_SECONDS = 90.0


@dataclass
class Command:
    """Runs `gridloom …` with `home` and `port`."""

    home: Home
    port: int = field(default_factory=free_port)
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GRIDLOOM_")}
        return clean | {"GRIDLOOM_HOME": str(self.home.folder), "GRIDLOOM_PORT": str(self.port)} | dict(self.more)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [GRIDLOOM, *arguments],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = b"".join(filter(None, (late.stdout, late.stderr))).decode()
            raise AssertionError(f"gridloom {' '.join(arguments)} is not done after {late.timeout} s: {said}") from late

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"gridloom {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self) -> str:
        return self.succeed("up", "--detach", "--engine", "synthetic")

    def open(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [GRIDLOOM, *arguments],
            env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def json(self, *arguments: str) -> object:
        return msgspec.json.decode(self.succeed(*arguments, "--json"))

    @property
    def facts(self) -> Facts:
        facts = read_facts(self.home)
        assert facts
        return facts

    def condition_of(self, name: str) -> Condition:
        return next(one for one in conditions(self.home) if one.name == name)

    def processes(self) -> list[psutil.Process]:
        return find_ours(self.home.folder)
