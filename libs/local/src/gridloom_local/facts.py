"""The facts of the running stack, as `.gridloom/env` holds them for people and scripts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from gridloom_local.home import Home
from gridloom_local.problems import NOT_REACHABLE, Problem
from gridloom_local.servers import write_private


@dataclass(frozen=True)
class Facts:
    """Each field is written as `GRIDLOOM_<FIELD>`."""

    url: str
    api_key: str
    admin_key: str
    model: str
    nats_url: str
    mongo_url: str

    def render(self) -> str:
        """Return the facts as a file that a shell can read with `.` or `source`."""
        lines = [f"{_variable(field.name)}={shlex.quote(getattr(self, field.name))}" for field in fields(self)]
        return "\n".join(lines) + "\n"

    def curl(self) -> str:
        """Return a command that submits a job when pasted into a shell."""
        body = f'{{"model": "{self.model}", "prompt": "Say hello"}}'
        return (
            f"curl -s {self.url}/api/v1/jobs -H 'Authorization: Bearer {self.api_key}' "
            f"-H 'Content-Type: application/json' -d '{body}'"
        )


def write_facts(home: Home, facts: Facts) -> None:
    """Write the env file of `home`, readable by its owner only."""
    write_private(home.env_file, facts.render().encode())


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of an env file; empty if there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    pairs = (word.partition("=") for word in shlex.split(text, comments=True))
    return {name: value for name, _, value in pairs}


def read_facts(home: Home) -> Facts | None:
    """Return the facts of the stack in `home`, or None if none is recorded as running."""
    env = read_env(home.env_file)
    names = [field.name for field in fields(Facts)]
    if not all(_variable(name) in env for name in names):
        return None
    return Facts(**{name: env[_variable(name)] for name in names})


def setting(name: str, home: Home, environ: Mapping[str, str]) -> str:
    """Return `GRIDLOOM_<NAME>` from the environment, else from the env file of `home`. Raises Problem."""
    variable = _variable(name)
    value = environ.get(variable) or read_env(home.env_file).get(variable)
    if value:
        return value
    raise Problem(
        f"{variable} is not set, and no stack runs in {home.folder}",
        remedy=f"start one with `gridloom up`, or set {variable}",
        exit_code=NOT_REACHABLE,
    )


def _variable(name: str) -> str:
    return f"GRIDLOOM_{name.upper()}"
