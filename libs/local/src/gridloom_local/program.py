"""What the supervisor runs: one program with its command, environment, log and the way to tell that it is ready.

Each program is started by a small shell script of its own. It keeps secrets out of command lines and out of
supervisord.conf (whose environment values cannot carry every character), and a person can run it by hand.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """One supervised process. `starts_alone` says that supervisord starts it without being asked."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] = lambda: True
    complaint: Callable[[], str] = lambda: ""
    """What the program says of itself when it is not ready."""
    stop_seconds: int = 20
    starts_alone: bool = False


def render_script(program: Program) -> str:
    """Return the shell script that becomes the program."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(program.environment.items())]
    return "\n".join(["#!/bin/sh", *exports, f"exec {shlex.join(program.command)}", ""])


def render_config(header: Mapping[str, Mapping[str, str]], programs: Mapping[Path, Program]) -> str:
    """Return a supervisord.conf: the `header` sections, then one section for each script and its program."""
    sections = dict(header) | {
        f"program:{program.name}": _options(program, script) for script, program in programs.items()
    }
    return "\n".join(_section(name, options) for name, options in sections.items())


def _options(program: Program, script: Path) -> dict[str, str]:
    return {
        "command": shlex.join(["/bin/sh", str(script)]),
        "autostart": "true" if program.starts_alone else "false",
        "autorestart": "true",
        "startsecs": "1",
        # A program that keeps dying is tried again with growing pauses instead of being given up for good.
        "startretries": "1000",
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(program.log),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "3",
    }


def _section(name: str, options: Mapping[str, str]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {_escaped(value)}" for key, value in options.items()), ""])


def _escaped(value: str) -> str:
    if "\n" in value or "\r" in value or " ;" in value:
        raise ValueError(f"supervisord.conf cannot carry {value!r}")
    return value.replace("%", "%%")
